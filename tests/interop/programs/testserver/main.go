// Command testserver runs the official control server for tests, with a door for the
// suite to move it: testserver ADDRESS DOOR DERPMAP.json TLS.crt TLS.key. It serves
// port 443 of ADDRESS.
//
//	GET  /nodes                         the nodes it knows
//	POST /login?required=true           whether new nodes need an interactive login
//	POST /complete?url=U                the login at U is done
//	POST /authkey?key=K                 the only key that registers a node; none: any does
//	POST /expire?on=true                every node key has expired
//	POST /away?on=true                  its port is closed and every connection cut; its memory stays
//	POST /node                          the body is what it knows of a node now; everybody is told
//	POST /map?node=KEY                  the body as a map response, and only such from now on
//	POST /ping?node=KEY&types=T&ip=IP   a ping request; answers with the method and what the node said
//	POST /c2n?node=KEY                  the body goes to the node's /echo; answers with what came back
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"tailscale.com/tailcfg"
	"tailscale.com/tstest/integration/testcontrol"
	"tailscale.com/types/key"
)

var (
	server  *testcontrol.Server
	answers = make(chan string, 16)
	serial  atomic.Int64
)

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func refuse(w http.ResponseWriter, format string, args ...any) {
	http.Error(w, fmt.Sprintf(format, args...), http.StatusBadRequest)
}

func nodeOf(r *http.Request) (k key.NodePublic) {
	k.UnmarshalText([]byte(r.FormValue("node")))
	return k
}

// ping sends a ping request and answers with what the node sends to this program.
func ping(w http.ResponseWriter, r *http.Request) {
	p := &tailcfg.PingRequest{
		URL: fmt.Sprintf("http://%s/answer?n=%d", os.Args[2], serial.Add(1)), Types: r.FormValue("types")}
	if ip := r.FormValue("ip"); ip != "" {
		p.IP = netip.MustParseAddr(ip)
	}
	if !server.AddPingRequest(nodeOf(r), p) {
		refuse(w, "the node is not connected")
		return
	}
	select {
	case text := <-answers:
		io.WriteString(w, text)
	case <-time.After(10 * time.Second):
		refuse(w, "no answer")
	}
}

// echo asks the node's /echo through the control connection (c2n).
func echo(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 10*time.Second)
	defer cancel()
	rq, err := http.NewRequestWithContext(ctx, "POST", "http://node/echo", r.Body)
	if err != nil {
		refuse(w, "%v", err)
		return
	}
	rq.ContentLength = r.ContentLength
	res, err := throughControl(nodeOf(r), rq)
	if err != nil {
		refuse(w, "%v", err)
		return
	}
	io.Copy(w, res.Body)
}

func door() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /nodes", func(w http.ResponseWriter, r *http.Request) { json.NewEncoder(w).Encode(server.AllNodes()) })
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) { server.RequireAuth = r.FormValue("required") == "true" })
	mux.HandleFunc("POST /complete", func(w http.ResponseWriter, r *http.Request) {
		if !server.CompleteAuth(r.FormValue("url")) {
			refuse(w, "no login waits there")
		}
	})
	mux.HandleFunc("POST /expire", func(w http.ResponseWriter, r *http.Request) { server.SetExpireAllNodes(r.FormValue("on") == "true") })
	mux.HandleFunc("POST /authkey", func(w http.ResponseWriter, r *http.Request) { server.RequireAuthKey = r.FormValue("key") })
	mux.HandleFunc("POST /away", func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("on") == "true" {
			way.close()
		} else {
			openWay()
		}
	})
	mux.HandleFunc("POST /node", func(w http.ResponseWriter, r *http.Request) {
		var node tailcfg.Node
		if err := json.NewDecoder(r.Body).Decode(&node); err != nil || node.Key.IsZero() {
			refuse(w, "no node: %v", err)
			return
		}
		server.UpdateNode(&node)
		server.SetMasqueradeAddresses(nil) // there are none; this tells everybody, in every generation
	})
	mux.HandleFunc("POST /map", func(w http.ResponseWriter, r *http.Request) {
		var m tailcfg.MapResponse
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil || !server.AddRawMapResponse(nodeOf(r), &m) {
			refuse(w, "not sent: %v", err)
		}
	})
	mux.HandleFunc("POST /ping", ping)
	mux.HandleFunc("POST /c2n", echo)
	mux.HandleFunc("/answer", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		answers <- r.Method + string(body)
	})
	return mux
}

func openWay() { way.open(os.Args[1]+":443", os.Args[4], os.Args[5]) }

func main() {
	var relays tailcfg.DERPMap
	text, err := os.ReadFile(os.Args[3])
	check(err)
	check(json.Unmarshal(text, &relays))
	server = &testcontrol.Server{
		DERPMap: &relays, MagicDNSDomain: "test.example", ExplicitBaseURL: "https://" + os.Args[1],
		DNSConfig: &tailcfg.DNSConfig{Proxied: true, Domains: []string{"test.example"}},
		Verbose:   true} // the suite reads in its log what nodes asked for
	prepare()
	openWay()
	check(http.ListenAndServe(os.Args[2], door()))
}
