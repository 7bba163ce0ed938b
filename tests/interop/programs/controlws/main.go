// Command controlws is a node over the WebSocket form of the control protocol, as the
// official client in a browser is one: controlws URL AUTHKEY. It registers, asks for
// its map and prints what that says of peers, until it is ended. Over WebSocket a server
// has no early payload: HTTP/2 begins at once.
package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/net/http2"
	"tailscale.com/control/controlbase"
	"tailscale.com/net/wsconn"
	"tailscale.com/tailcfg"
	"tailscale.com/types/key"
)

func check(what string, err error) {
	if err != nil {
		log.Fatalf("%s: %v", what, err)
	}
}

func serverKey(base string) key.MachinePublic {
	res, err := http.Get(fmt.Sprintf("%s/key?v=%d", base, tailcfg.CurrentCapabilityVersion))
	check("key", err)
	var keys tailcfg.OverTLSPublicKeyResponse
	check("key", json.NewDecoder(res.Body).Decode(&keys))
	return keys.PublicKey
}

func dial(ctx context.Context, base string) net.Conn {
	initiation, proceed, err := controlbase.ClientDeferred(key.NewMachine(), serverKey(base), uint16(tailcfg.CurrentCapabilityVersion))
	check("handshake", err)
	query := url.Values{"X-Tailscale-Handshake": {base64.StdEncoding.EncodeToString(initiation)}}
	address := "ws" + strings.TrimPrefix(base, "http") + "/ts2021?" + query.Encode()
	ws, _, err := websocket.Dial(ctx, address, &websocket.DialOptions{Subprotocols: []string{"tailscale-control-protocol"}})
	check("websocket", err)
	noise, err := proceed(ctx, wsconn.NetConn(ctx, ws, websocket.MessageBinary, address))
	check("noise", err)
	return noise
}

// request sends one request of the control protocol through the connection of the session.
func request(ctx context.Context, h2 *http2.ClientConn, target string, body any) io.Reader {
	text, err := json.Marshal(body)
	check(target, err)
	rq, err := http.NewRequestWithContext(ctx, "POST", target, bytes.NewReader(text))
	check(target, err)
	res, err := h2.RoundTrip(rq)
	check(target, err)
	if res.StatusCode != http.StatusOK {
		log.Fatalf("%s: %s", target, res.Status)
	}
	return res.Body
}

// follow prints the name of each peer that a map or a change of one brings.
func follow(messages io.Reader) {
	for {
		var length uint32
		check("length", binary.Read(messages, binary.LittleEndian, &length))
		text := make([]byte, length)
		_, err := io.ReadFull(messages, text)
		check("message", err)
		var m tailcfg.MapResponse
		check("map", json.Unmarshal(text, &m))
		if m.Node != nil {
			fmt.Println("self", m.Node.Name)
		}
		for _, p := range append(m.Peers, m.PeersChanged...) {
			fmt.Println("peer", p.Name)
		}
	}
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	base, node := os.Args[1], key.NewNode().Public()
	info := &tailcfg.Hostinfo{Hostname: "browser"}
	noise := dial(ctx, base)
	h2, err := (&http2.Transport{}).NewClientConn(noise)
	check("http2", err)
	var answer tailcfg.RegisterResponse
	check("answer", json.NewDecoder(request(ctx, h2, base+"/machine/register", tailcfg.RegisterRequest{
		Version: tailcfg.CurrentCapabilityVersion, NodeKey: node, Hostinfo: info,
		Auth: &tailcfg.RegisterResponseAuth{AuthKey: os.Args[2]}, Ephemeral: true})).Decode(&answer))
	if !answer.MachineAuthorized || answer.Error != "" {
		log.Fatalf("not in: %+v", answer)
	}
	fmt.Println("registered as a node of", answer.User.DisplayName)
	follow(request(ctx, h2, base+"/machine/map", tailcfg.MapRequest{
		Version: tailcfg.CurrentCapabilityVersion, NodeKey: node, DiscoKey: key.NewDisco().Public(), Hostinfo: info, Stream: true, KeepAlive: true}))
}
