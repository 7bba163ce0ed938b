package main

import "tailscale.com/derp/derphttp"

func setMeshKey(c *derphttp.Client, text string) { c.MeshKey = text }
