//go:build tools

// The official programs and packages this generation is tested against, pinned by go.sum.
package interop

import (
	_ "github.com/coder/websocket"
	_ "golang.org/x/net/http2"
	_ "tailscale.com/client/local"
	_ "tailscale.com/cmd/derper"
	_ "tailscale.com/cmd/tailscale"
	_ "tailscale.com/cmd/tailscaled"
	_ "tailscale.com/control/controlbase"
	_ "tailscale.com/derp/derphttp"
	_ "tailscale.com/net/stun"
	_ "tailscale.com/tsnet"
	_ "tailscale.com/tstest/integration/testcontrol"
)
