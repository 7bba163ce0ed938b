package main

import (
	"crypto/tls"
	"net"
	"net/http"
	"sync"
)

// entrance is the way into the server that can be closed and opened again: to its
// nodes this is a restart of a server that keeps its state, which this one cannot.
type entrance struct {
	mutex       sync.Mutex
	listener    net.Listener
	connections []net.Conn
}

var way entrance

// open listens with TLS: official clients that lost a plain server look for it on port 443 ever after.
func (e *entrance) open(address, certificate, key string) {
	l, err := net.Listen("tcp", address)
	check(err)
	e.mutex.Lock()
	defer e.mutex.Unlock()
	e.listener = l
	over1 := http.Server{Handler: server, TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){}}
	go over1.ServeTLS(guest{l}, certificate, key)
}

func (e *entrance) close() {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	e.listener.Close()
	e.listener = nil
	for _, c := range e.connections {
		c.Close()
	}
	e.connections = nil
}

// guest remembers the connections of a listener; the server hijacks them, so that its own Close would not end them.
type guest struct{ net.Listener }

func (g guest) Accept() (net.Conn, error) {
	c, err := g.Listener.Accept()
	if err != nil {
		return nil, err
	}
	way.mutex.Lock()
	defer way.mutex.Unlock()
	if way.listener != g.Listener {
		c.Close() // came in while the way was closed
	}
	way.connections = append(way.connections, c)
	return c, nil
}
