package capturetest

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"testing"

	"github.com/heddle-mesh/heddle/data/node/capture"
	"github.com/heddle-mesh/heddle/data/node/netns"
)

// Words of the programs of the table, besides "captured" of the client's proxy: what the server itself says, what the client says to itself, and what the server's proxy says.
const (
	direct = "direct"
	self   = "self"
)

type row struct {
	name  string
	spec  capture.Spec
	calls []Call
}

func prefixes(texts ...string) (all []netip.Prefix) {
	for _, t := range texts {
		all = append(all, netip.MustParsePrefix(t))
	}
	return all
}

// outbound is what a captured client's calls must come to.
func outboundTable() []row {
	return []row{
		{"everything", capture.Spec{}, []Call{
			{To: "10.78.0.3:80", Want: "captured"}, {To: "[fd78::3]:80", Want: "captured"}, {To: "240.240.0.1:443", Want: "captured"},
			{To: "[2001:db8::1]:443", Want: "captured"}, {To: "172.30.0.3:80", Want: "captured"}, {How: Mapped, To: "10.78.0.3:80", Want: "captured"},
			{How: Mapped, To: "240.240.0.1:80", Want: "captured"}, {How: FastOpen, To: "10.78.0.3:80", Want: "captured"}, {How: FastOpen, To: "[fd78::3]:80", Want: "captured"},
			{How: Multipath, To: "10.78.0.3:80", Want: "captured"}, {How: Multipath, To: "[fd78::3]:80", Want: "captured"},
			{To: "10.78.0.3:53", Want: "captured"}, {How: Connected, To: "10.78.0.3:53", Want: direct}, {How: Datagram, To: "[fd78::3]:53", Want: direct},
			{How: Connected, To: "10.78.0.3:5000", Want: direct}, {How: Datagram, To: "10.78.0.3:5000", Want: direct},
		}},
		{"the proxy's own", capture.Spec{DNS: true}, []Call{
			{To: "10.78.0.3:80", Mark: capture.ProxyMark, Want: direct}, {To: "[fd78::3]:80", Mark: capture.ProxyMark, Want: direct},
			{To: "10.78.0.3:80", UID: capture.ProxyUID, Want: direct}, {To: "[fd78::3]:80", UID: capture.ProxyUID, Want: direct},
			{How: Mapped, To: "10.78.0.3:80", UID: capture.ProxyUID, Want: direct}, {How: Datagram, To: "10.78.0.3:53", UID: capture.ProxyUID, Want: direct},
			{How: Connected, To: "[fd78::3]:53", Mark: capture.ProxyMark, Want: direct},
			{To: "10.78.0.3:80", Mark: 1, Want: "captured"}, {To: "10.78.0.3:80", UID: 1, Want: "captured"},
		}},
		{"itself", capture.Spec{}, []Call{
			{To: "127.0.0.1:80", Want: self}, {To: "[::1]:80", Want: self}, {To: "10.78.0.2:80", Want: self}, {To: "[fd78::2]:80", Want: self}, {To: "127.1.2.3:80", Want: self},
			{To: "172.30.0.2:80", Want: self}, {How: Mapped, To: "10.78.0.2:80", Want: self}, {How: Mapped, To: "127.0.0.1:80", Want: self}, {To: "127.0.0.1:81", Want: "refused"},
		}},
		{"excluded", capture.Spec{ExcludeOutboundPorts: []uint16{8080}, ExcludeOutbound: prefixes("10.78.0.3/32", "fd78::/64", "172.16.0.0/12")}, []Call{
			{To: "10.78.0.3:80", Want: direct}, {To: "[fd78::3]:80", Want: direct}, {To: "172.30.0.3:80", Want: direct}, {How: Mapped, To: "10.78.0.3:80", Want: direct},
			{To: "10.78.0.4:80", Want: "captured"}, {To: "[fd79::3]:80", Want: "captured"}, {To: "172.32.0.1:80", Want: "captured"},
		}},
		{"excluded ports", capture.Spec{ExcludeOutboundPorts: []uint16{8080, 53}}, []Call{
			{To: "10.78.0.3:8080", Want: direct}, {To: "[fd78::3]:8080", Want: direct}, {To: "10.78.0.3:80", Want: "captured"}, {To: "10.78.0.3:53", Want: direct},
		}},
		{"all of a family excluded", capture.Spec{ExcludeOutbound: prefixes("::/0")}, []Call{
			{To: "[fd78::3]:80", Want: direct}, {To: "10.78.0.3:80", Want: "captured"}, {How: Mapped, To: "10.78.0.3:80", Want: "captured"},
		}},
		{"included", capture.Spec{OnlyOutbound: true, IncludeOutbound: prefixes("10.90.0.0/16", "fd79::/64"), IncludeOutboundPorts: []uint16{443}, OutboundPort: 16001}, []Call{
			{To: "10.90.0.1:80", Want: "other"}, {To: "[fd79::1]:80", Want: "other"}, {To: "10.78.0.3:443", Want: "other"}, {To: "[fd78::3]:443", Want: "other"},
			{To: "10.78.0.3:80", Want: direct}, {To: "[fd78::3]:80", Want: direct}, {To: "10.78.0.2:443", Want: "refused"},
		}},
		{"excluded in included in excluded", capture.Spec{OnlyOutbound: true, IncludeOutbound: prefixes("10.0.0.0/8", "10.78.0.3/32"), ExcludeOutbound: prefixes("10.78.0.0/16", "fd78::3/128"),
			IncludeOutboundPorts: []uint16{80}}, []Call{
			{To: "10.78.0.3:80", Want: direct}, {To: "10.79.0.3:8080", Want: "captured"}, {To: "[fd78::3]:80", Want: direct}, {To: "[fd78::4]:80", Want: "captured"},
			{To: "172.30.0.3:8080", Want: direct},
		}},
		{"nothing included", capture.Spec{OnlyOutbound: true}, []Call{{To: "10.78.0.3:80", Want: direct}, {To: "[fd78::3]:80", Want: direct}}},
		{"no outbound", capture.Spec{NoOutbound: true, DNS: true}, []Call{
			{To: "10.78.0.3:80", Want: direct}, {To: "[fd78::3]:80", Want: direct}, {How: Connected, To: "10.78.0.3:53", Want: "named"},
		}},
		{"other users", capture.Spec{UIDs: []uint32{65000, 65001}}, []Call{
			{To: "10.78.0.3:80", UID: 65001, Want: direct}, {To: "10.78.0.3:80", UID: capture.ProxyUID, Want: "captured"},
		}},
		{"other groups", capture.Spec{GIDs: []uint32{65000}}, []Call{
			{To: "10.78.0.3:80", GID: 65000, Want: direct}, {To: "10.78.0.3:80", UID: 65000, Want: "captured"}, {To: "10.78.0.3:80", UID: capture.ProxyUID, Want: "captured"},
		}},
		{"names", capture.Spec{DNS: true}, []Call{
			{How: Connected, To: "10.78.0.3:53", Want: "named"}, {How: Datagram, To: "10.78.0.3:53", Want: "named"}, {How: Connected, To: "[fd78::3]:53", Want: "named"},
			{How: Datagram, To: "[fd78::3]:53", Want: "named"}, {How: Mapped, To: "10.78.0.3:53", Want: "names"}, {To: "10.78.0.3:53", Want: "names"}, {To: "[fd78::9]:53", Want: "names"},
			{How: Datagram, To: "127.0.0.53:53", Want: "named"}, {How: Connected, To: "127.0.0.1:53", Want: "named"}, {To: "127.0.0.53:53", Want: "names"},
			{How: Datagram, To: "10.78.0.3:5000", Want: direct}, {How: Connected, To: "10.78.0.3:5000", Want: direct},
		}},
		{"interface", capture.Spec{DNS: true, ExcludeInterfaces: []string{"docker0"}}, []Call{
			{To: "172.30.0.3:80", Want: direct}, {How: Datagram, To: "172.30.0.3:53", Want: direct}, {To: "10.78.0.3:80", Want: "captured"}, {To: "172.30.0.2:80", Want: self},
			{To: "172.31.0.3:80", Want: "captured"},
		}},
	}
}

// Outbound runs the table of what a workload calls.
func Outbound(t *testing.T, way capture.Way) {
	w := New(t)
	for _, port := range []int{80, 443, 8080, 53} {
		Greet(t, w.Server, port, direct)
	}
	Answer(t, w.Server, "[::]:53", direct)
	Answer(t, w.Server, "[::]:5000", direct)
	Greet(t, w.Client, 80, self)
	Proxy(t, w.Client, capture.OutboundPort, "captured for")
	Proxy(t, w.Client, 16001, "other for")
	Proxy(t, w.Client, capture.DNSPort, "names for")
	for _, ip := range []string{"127.0.0.1", "::1"} { // where a redirected packet goes: a socket for all addresses would answer from another one
		Answer(t, w.Client, net.JoinHostPort(ip, strconv.Itoa(capture.DNSPort)), "named")
	}
	for _, row := range outboundTable() {
		t.Run(row.name, func(t *testing.T) {
			apply(t, w.Client, way, row.spec)
			for _, c := range row.calls {
				c.expect(t, w.Client)
			}
			remove(t, w.Client, way)
			Call{To: "10.78.0.3:80", Want: direct}.expect(t, w.Client)
			Call{How: Datagram, To: "10.78.0.3:53", Want: direct}.expect(t, w.Client)
		})
	}
}

// Inbound runs the table of what arrives at a workload.
func Inbound(t *testing.T, way capture.Way) {
	w := New(t)
	for _, port := range []int{22, 15021, 80} {
		Greet(t, w.Server, port, direct)
	}
	Proxy(t, w.Server, capture.InboundPort, "captured for")
	Proxy(t, w.Server, 16006, "other for")
	for _, row := range []row{
		{"everything", capture.Spec{ExcludeInboundPorts: []uint16{22}}, []Call{
			{To: "10.78.0.3:80", Want: "captured"}, {To: "[fd78::3]:8080", Want: "captured"}, {To: "10.78.0.3:22", Want: direct}, {To: "[fd78::3]:15021", Want: direct},
		}},
		{"included", capture.Spec{OnlyInbound: true, IncludeInboundPorts: []uint16{8080}, InboundPort: 16006}, []Call{
			{To: "10.78.0.3:8080", Want: "other"}, {To: "[fd78::3]:8080", Want: "other"}, {To: "10.78.0.3:80", Want: direct},
		}},
		{"interface", capture.Spec{ExcludeInterfaces: []string{"docker0"}}, []Call{{To: "172.30.0.3:80", Want: direct}, {To: "10.78.0.3:80", Want: "captured"}}},
		{"no inbound", capture.Spec{NoInbound: true}, []Call{{To: "10.78.0.3:80", Want: direct}, {To: "[fd78::3]:80", Want: direct}}},
	} {
		t.Run(row.name, func(t *testing.T) {
			apply(t, w.Server, way, row.spec)
			for _, c := range row.calls {
				c.expect(t, w.Client)
			}
			remove(t, w.Server, way)
			Call{To: "10.78.0.3:8080", Want: "refused"}.expect(t, w.Client)
		})
	}
}

func apply(t *testing.T, ns *netns.Namespace, way capture.Way, s capture.Spec) {
	t.Helper()
	ok(t, ns.Do(func() error { return way.Apply(s) }))
	present(t, ns, way, true)
}

// remove removes twice: the second time there is nothing.
func remove(t *testing.T, ns *netns.Namespace, way capture.Way) {
	t.Helper()
	for range 2 {
		ok(t, ns.Do(way.Remove))
		present(t, ns, way, false)
	}
}

func present(t *testing.T, ns *netns.Namespace, way capture.Way, want bool) {
	t.Helper()
	ok(t, ns.Do(func() error {
		if there, err := way.Present(); err != nil || there != want {
			return fmt.Errorf("%s says present=%t, %w", way, there, err)
		}
		return nil
	}))
}

// expect makes a call and compares the answer; words of proxies are followed by the original destination.
func (c Call) expect(t *testing.T, ns *netns.Namespace) {
	t.Helper()
	want := c.Want
	switch want {
	case "captured", "other", "names":
		want += " for " + c.To
	}
	if got := c.Make(t, ns); got != want {
		t.Errorf("%s %s (mark %d, user %d): %q, want %q", c.How, c.To, c.Mark, c.UID, got, want)
	}
}
