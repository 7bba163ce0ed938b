// Command derpclient drives a relay with official DERP clients. It prints a line for
// each thing that went as it should and fails at the first that did not.
//
//	derpclient URL                    two clients
//	derpclient -mesh KEY URL          and one that watches, and closes
//	derpclient -pin CERTNAME ADDRESS  two clients that find the relay in a DERP map
//	derpclient -many N URL            N clients at once, each sends to the next
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"log"
	"net/netip"
	"sync"
	"time"

	"tailscale.com/derp"
	"tailscale.com/derp/derphttp"
	"tailscale.com/net/netmon"
	"tailscale.com/tailcfg"
	"tailscale.com/types/key"
)

type client struct {
	*derphttp.Client
	key key.NodePublic
}

var pin = flag.String("pin", "", "CertName of the relay in a DERP map")

func dial(private key.NodePrivate, target string) *derphttp.Client {
	quiet := func(string, ...any) {}
	if *pin == "" {
		c, err := derphttp.NewClient(private, target, quiet, netmon.NewStatic())
		check("client", err)
		return c
	}
	at := netip.MustParseAddrPort(target)
	region := &tailcfg.DERPRegion{RegionID: 900, RegionCode: "lab", Nodes: []*tailcfg.DERPNode{{
		Name: "900a", RegionID: 900, HostName: at.Addr().String(), IPv4: at.Addr().String(), IPv6: "none",
		DERPPort: int(at.Port()), CertName: *pin}}}
	return derphttp.NewRegionClient(private, quiet, netmon.NewStatic(), func() *tailcfg.DERPRegion { return region })
}

func connect(target, meshKey string) client {
	private := key.NewNode()
	c := dial(private, target)
	if meshKey != "" {
		setMeshKey(c, meshKey)
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
			if what != "" {
				fmt.Println("ok", what)
			}
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
		c.expect("server info", isServerInfo)
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

func isServerInfo(m derp.ReceivedMessage) bool {
	_, ok := m.(derp.ServerInfoMessage)
	return ok
}

// crowd connects n clients; each then sends one packet to the next.
func crowd(url string, n int) {
	all := make([]client, n)
	atOnce := make(chan bool, 50)
	each := func(act func(i int)) {
		var group sync.WaitGroup
		for i := range all {
			group.Add(1)
			atOnce <- true
			go func() {
				defer group.Done()
				act(i)
				<-atOnce
			}()
		}
		group.Wait()
	}
	each(func(i int) {
		all[i] = connect(url, "")
		all[i].expect("", isServerInfo)
	})
	each(func(i int) {
		next := all[(i+1)%n]
		check("send", all[i].Send(next.key, []byte("to the next")))
		next.expect("", packetFrom(all[i].key, []byte("to the next")))
	})
	fmt.Println("ok", n, "clients")
}

func watch(url, meshKey string, a, b client) {
	watcher := connect(url, meshKey)
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

func main() {
	mesh := flag.String("mesh", "", "mesh key")
	many := flag.Int("many", 0, "how many clients")
	flag.Parse()
	time.AfterFunc(50*time.Second, func() { log.Fatal("timed out") })
	target := flag.Arg(0)
	if *many > 0 {
		crowd(target, *many)
		return
	}
	a, b := clients(target)
	if *mesh != "" {
		watch(target, *mesh, a, b)
		return
	}
	b.Close()
	a.expect("peer gone, disconnected", gone(b.key, derp.PeerGoneReasonDisconnected))
}
