// Command stunprobe asks the STUN server at the address given with the official
// package and fails unless the answer names the socket it asked from.
package main

import (
	"fmt"
	"log"
	"net"
	"net/netip"
	"os"
	"time"

	"tailscale.com/net/stun"
)

func main() {
	c, err := net.Dial("udp", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(5 * time.Second))
	id := stun.NewTxID()
	if _, err := c.Write(stun.Request(id)); err != nil {
		log.Fatal(err)
	}
	answer := make([]byte, 1500)
	n, err := c.Read(answer)
	if err != nil {
		log.Fatal(err)
	}
	got, seen, err := stun.ParseResponse(answer[:n])
	if err != nil || got != id || seen != c.LocalAddr().(*net.UDPAddr).AddrPort() {
		log.Fatalf("answer %v from %v: id %v, error %v", seen, netip.MustParseAddrPort(os.Args[1]), got == id, err)
	}
	fmt.Println("ok", seen)
}
