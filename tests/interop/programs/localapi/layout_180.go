package main

import "tailscale.com/client/tailscale"

func client(socket string) *tailscale.LocalClient {
	return &tailscale.LocalClient{Socket: socket, UseSocketOnly: true}
}
