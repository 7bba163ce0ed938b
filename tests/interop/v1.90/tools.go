//go:build tools

// The official programs this generation is tested against, pinned by go.sum.
package interop

import (
	_ "tailscale.com/cmd/derper"
	_ "tailscale.com/cmd/tailscale"
	_ "tailscale.com/cmd/tailscaled"
)
