package main

import (
	"net/http"

	"tailscale.com/types/key"
)

func prepare() {}

func throughControl(node key.NodePublic, rq *http.Request) (*http.Response, error) {
	return server.NodeRoundTripper(node).RoundTrip(rq)
}
