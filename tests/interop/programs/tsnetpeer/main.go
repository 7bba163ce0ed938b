// Command tsnetpeer is a program that is a node by itself, over the official package
// for such: it joins, lets one peer connect, and then connects to one; each time both
// send AMOUNT bytes at once, and it prints the SHA-256 of what it sent and received as
// transfer.py does: tsnetpeer FOLDER CONTROL-URL AUTHKEY NAME AMOUNT PEER-ADDRESS:PORT.
// It listens on the port that it connects to, and stays until SIGTERM: its end would
// take what its TCP still has to send.
package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"tailscale.com/tsnet"
)

func check(what string, err error) {
	if err != nil {
		log.Fatalf("%s: %v", what, err)
	}
}

func exchange(c net.Conn, amount int64) {
	c.SetDeadline(time.Now().Add(40 * time.Second))
	sent, received := sha256.New(), sha256.New()
	done := make(chan error, 1)
	go func() {
		_, err := io.CopyN(io.MultiWriter(c, sent), rand.Reader, amount)
		if err == nil {
			err = c.(interface{ CloseWrite() error }).CloseWrite()
		}
		done <- err
	}()
	_, err := io.Copy(received, c)
	check("receive", err)
	check("send", <-done)
	check("print", json.NewEncoder(os.Stdout).Encode(map[string]string{
		"sent": fmt.Sprintf("%x", sent.Sum(nil)), "received": fmt.Sprintf("%x", received.Sum(nil))}))
}

func main() {
	folder, url, key, name, target := os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[6]
	amount, err := strconv.ParseInt(os.Args[5], 10, 64)
	check("amount", err)
	_, port, err := net.SplitHostPort(target)
	check("target", err)
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	node := &tsnet.Server{Dir: folder, ControlURL: url, AuthKey: key, Hostname: name, Ephemeral: true}
	defer node.Close()
	status, err := node.Up(ctx)
	check("up", err)
	l, err := node.Listen("tcp", ":"+port)
	check("listen", err)
	fmt.Println("address", status.TailscaleIPs[0])
	c, err := l.Accept()
	check("accept", err)
	exchange(c, amount)
	c, err = node.Dial(ctx, "tcp", target)
	check("dial", err)
	exchange(c, amount)
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	<-stop
}
