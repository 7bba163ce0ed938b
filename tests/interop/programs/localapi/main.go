// Command localapi asks a daemon with the official client package and prints what that
// decoded, as one JSON object: localapi SOCKET PEER-ADDRESS.
package main

import (
	"context"
	"encoding/json"
	"log"
	"os"
	"time"

	"tailscale.com/ipn/ipnstate"
	"tailscale.com/tailcfg"
)

func check(what string, err error) {
	if err != nil {
		log.Fatalf("%s: %v", what, err)
	}
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	c := client(os.Args[1])
	status, err := c.Status(ctx)
	check("status", err)
	whois, err := c.WhoIs(ctx, os.Args[2])
	check("whois", err)
	prefs, err := c.GetPrefs(ctx)
	check("prefs", err)
	relays, err := c.CurrentDERPMap(ctx)
	check("relays", err)
	profile, all, err := c.ProfileStatus(ctx)
	check("profiles", err)
	check("print", json.NewEncoder(os.Stdout).Encode(map[string]any{
		"status": status, "whois": whois, "prefs": prefs, "relays": relays, "profile": profile, "profiles": len(all),
		"running": status.BackendState == "Running", "self": self(status), "login": login(whois.UserProfile),
	}))
}

func self(s *ipnstate.Status) string { return s.Self.DNSName }

func login(p *tailcfg.UserProfile) string { return p.LoginName }
