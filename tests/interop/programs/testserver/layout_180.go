package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"

	"tailscale.com/tailcfg"
	"tailscale.com/types/key"
)

var returned = make(chan []byte, 16)

func prepare() {
	server.HandleC2N = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		returned <- body
	})
}

// throughControl is what later versions of the server have themselves.
func throughControl(node key.NodePublic, rq *http.Request) (*http.Response, error) {
	var text bytes.Buffer
	if err := rq.Write(&text); err != nil {
		return nil, err
	}
	p := &tailcfg.PingRequest{URL: fmt.Sprintf("https://unused/some-c2n-path/%d", serial.Add(1)), Types: "c2n", Payload: text.Bytes()}
	if !server.AddPingRequest(node, p) {
		return nil, errors.New("the node is not connected")
	}
	select {
	case answer := <-returned:
		return http.ReadResponse(bufio.NewReader(bytes.NewReader(answer)), nil)
	case <-rq.Context().Done():
		return nil, rq.Context().Err()
	}
}
