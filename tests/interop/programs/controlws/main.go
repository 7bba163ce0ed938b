// Command controlws registers a node over the WebSocket form of the control protocol,
// as the official client does in a browser: controlws URL AUTHKEY. Over WebSocket a
// server has no early payload: HTTP/2 begins at once.
package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
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

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	base := os.Args[1]
	noise := dial(ctx, base)
	h2, err := (&http2.Transport{}).NewClientConn(noise)
	check("http2", err)
	body, err := json.Marshal(tailcfg.RegisterRequest{
		Version: tailcfg.CurrentCapabilityVersion, NodeKey: key.NewNode().Public(), Hostinfo: &tailcfg.Hostinfo{Hostname: "browser"},
		Auth: &tailcfg.RegisterResponseAuth{AuthKey: os.Args[2]}, Ephemeral: true})
	check("request", err)
	rq, err := http.NewRequestWithContext(ctx, "POST", base+"/machine/register", bytes.NewReader(body))
	check("request", err)
	res, err := h2.RoundTrip(rq)
	check("register", err)
	var answer tailcfg.RegisterResponse
	check("answer", json.NewDecoder(res.Body).Decode(&answer))
	if !answer.MachineAuthorized || answer.Error != "" {
		log.Fatalf("not in: %+v", answer)
	}
	fmt.Println("ok registered as a node of", answer.User.DisplayName)
}
