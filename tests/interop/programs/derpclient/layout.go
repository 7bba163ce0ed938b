package main

import (
	"tailscale.com/derp/derphttp"
	"tailscale.com/types/key"
)

func setMeshKey(c *derphttp.Client, text string) {
	var err error
	c.MeshKey, err = key.ParseDERPMesh(text)
	check("mesh key", err)
}
