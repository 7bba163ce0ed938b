// Command derpclient drives the relay at the URL given with official DERP clients:
// two ordinary ones and, with a mesh key as second argument, one that watches. It
// prints a line for each thing that went as it should and fails at the first that
// did not.
package main

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"tailscale.com/derp"
	"tailscale.com/derp/derphttp"
	"tailscale.com/net/netmon"
	"tailscale.com/types/key"
)

type client struct {
	*derphttp.Client
	key key.NodePublic
}

func connect(url, meshKey string) client {
	private := key.NewNode()
	c, err := derphttp.NewClient(private, url, func(string, ...any) {}, netmon.NewStatic())
	check("client", err)
	if meshKey != "" {
		c.MeshKey, err = key.ParseDERPMesh(meshKey)
		check("mesh key", err)
		c.WatchConnectionChanges = true
	}
	check("connect", c.Connect(context.Background()))
	return client{c, private.Public()}
}

func check(what string, err error) {
	if err != nil {
		log.Fatalf("%s: %v", what, err)
	}
}

// expect reads until a message satisfies fits.
func (c client) expect(what string, fits func(derp.ReceivedMessage) bool) {
	for {
		m, err := c.Recv()
		check(what, err)
		if fits(m) {
			fmt.Println("ok", what)
			return
		}
	}
}

func packetFrom(source key.NodePublic, data []byte) func(derp.ReceivedMessage) bool {
	return func(m derp.ReceivedMessage) bool {
		p, ok := m.(derp.ReceivedPacket)
		return ok && p.Source == source && bytes.Equal(p.Data, data)
	}
}

func gone(peer key.NodePublic, reason derp.PeerGoneReasonType) func(derp.ReceivedMessage) bool {
	return func(m derp.ReceivedMessage) bool {
		p, ok := m.(derp.PeerGoneMessage)
		return ok && p.Peer == peer && p.Reason == reason
	}
}

func clients(url string) (a, b client) {
	a, b = connect(url, ""), connect(url, "")
	for _, c := range []client{a, b} { // with fast start, a client is known only when the server has answered
		c.expect("server info", func(m derp.ReceivedMessage) bool { _, ok := m.(derp.ServerInfoMessage); return ok })
	}
	small, large := bytes.Repeat([]byte("weft"), 300), bytes.Repeat([]byte{7}, derp.MaxPacketSize)
	check("send", a.Send(b.key, small))
	b.expect("packet", packetFrom(a.key, small))
	b.NotePreferred(true)
	check("send", b.Send(a.key, large))
	a.expect("largest packet", packetFrom(b.key, large))
	check("ping", a.SendPing([8]byte{1, 2, 3}))
	a.expect("pong", func(m derp.ReceivedMessage) bool { p, ok := m.(derp.PongMessage); return ok && p[2] == 3 })
	nobody := key.NewNode().Public()
	check("send", a.Send(nobody, append([]byte("TS💬"), make([]byte, 80)...)))
	a.expect("peer gone, not here", gone(nobody, derp.PeerGoneReasonNotHere))
	return a, b
}

func main() {
	time.AfterFunc(20*time.Second, func() { log.Fatal("timed out") })
	url := os.Args[1]
	a, b := clients(url)
	if len(os.Args) < 3 {
		b.Close()
		a.expect("peer gone, disconnected", gone(b.key, derp.PeerGoneReasonDisconnected))
		return
	}
	watcher := connect(url, os.Args[2])
	seen := map[key.NodePublic]bool{}
	watcher.expect("watcher sees both", func(m derp.ReceivedMessage) bool {
		if p, ok := m.(derp.PeerPresentMessage); ok {
			seen[p.Key] = p.Flags == derp.PeerPresentIsRegular && p.IPPort.IsValid()
		}
		return seen[a.key] && seen[b.key]
	})
	b.Close()
	watcher.expect("watcher sees it go", gone(b.key, derp.PeerGoneReasonDisconnected))
	check("close peer", watcher.ClosePeer(a.key))
	for {
		if _, err := a.Recv(); err != nil {
			fmt.Println("ok closed by the mesh")
			return
		}
	}
}
