package server

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"testing"
	"time"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/heddle-mesh/heddle/test/lab"
	"github.com/heddle-mesh/heddle/xds"
)

// denied is a network RBAC filter that denies an address.
func denied(ip string) string {
	return fmt.Sprintf(`{"name": "rbac", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.network.rbac.v3.RBAC", "stat_prefix": "t", "rules": {"action": "DENY",
	 "policies": {"one": {"permissions": [{"any": true}], "principals": [{"direct_remote_ip": {"address_prefix": %q, "prefix_len": 32}}]}}}}},`, ip)
}

// TestAPolicyHoldsForOpenTCPConnections: a connection that the listener in force would not take ends; one that it would take stays, whatever else of it has changed.
func TestAPolicyHoldsForOpenTCPConnections(t *testing.T) {
	backend, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer backend.Close()
	lab.Greet(backend, "backend")
	p := start(t, bootstrap("", cluster(backend.Addr().String())))
	p.ready(t)
	p.live.Follow(nobody{}, true, xds.Listener)
	at := free(t)
	host, port, _ := net.SplitHostPort(at)
	send := func(filters, match string) {
		t.Helper()
		m := &listenerv3.Listener{}
		text := fmt.Sprintf(`{"name": "tcp", "address": {"socket_address": {"address": %q, "port_value": %s}}, "filter_chains": [{"filter_chain_match": {%s}, "filters": [%s
		 {"name": "tcp", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", "stat_prefix": "t", "cluster": "app"}}]}]}`, host, port, match, filters)
		if err := protojson.Unmarshal([]byte(text), m); err != nil {
			t.Fatal(err)
		}
		x, err := xds.New(xds.Name{TypeURL: xds.Listener, Name: "tcp"}, m)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.live.OnResponse(xds.Listener, []*xds.Resource{x}, nil); err != nil {
			t.Fatal(err)
		}
	}
	send("", "")
	one, two := dialFrom(t, "127.0.0.1", at), dialFrom(t, "127.0.0.2", at)
	send(denied("127.0.0.2"), "")
	ended(t, two)
	echoes(t, one)
	send("", `"source_prefix_ranges": [{"address_prefix": "127.0.0.2", "prefix_len": 32}]`) // no chain takes the first one any more
	ended(t, one)
}

// dialFrom connects from an address, and reads the greeting.
func dialFrom(t *testing.T, ip, at string) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
	c, err := d.Dial("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.ReadFull(c, make([]byte, len("hello from backend\n"))); err != nil {
		t.Fatal(err)
	}
	return c
}

func echoes(t *testing.T, c net.Conn) {
	t.Helper()
	if _, err := c.Write([]byte("ping")); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 4)
	if _, err := io.ReadFull(c, b); err != nil || string(b) != "ping" {
		t.Fatalf("%q, %v", b, err)
	}
}

func ended(t *testing.T, c net.Conn) {
	t.Helper()
	if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("the connection is still open: %d bytes, %v", n, err)
	}
}
