package main

import "tailscale.com/client/local"

func client(socket string) *local.Client { return &local.Client{Socket: socket, UseSocketOnly: true} }
