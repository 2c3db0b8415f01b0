package capture_test

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/heddle-mesh/heddle/data/node/capture"
	"github.com/heddle-mesh/heddle/data/node/netns"
)

func TestRulesAreOrderedAndDeterministic(t *testing.T) {
	s := capture.Spec{DNS: true, ExcludeOutboundPorts: []uint16{9000, 80, 80}, ExcludeInboundPorts: []uint16{22}}
	rules := capture.Rules(s)
	last := rules[len(rules)-1]
	if last.Redirect != capture.InboundPort || last.Hook != capture.Prerouting {
		t.Fatalf("the last rule must redirect what is left: %+v", last)
	}
	seen := 0
	for _, r := range rules {
		if r.Why == "" {
			t.Errorf("a rule without a reason: %+v", r)
		}
		if r.Why == "excluded port" {
			seen++
		}
	}
	if seen != 2 {
		t.Errorf("excluded ports give %d rules, want 2 (sorted, without duplicates)", seen)
	}
}

// two namespaces on a bridge, for the tests below.
func twoNamespaces(t *testing.T) (client, server *netns.Namespace) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: network namespaces")
	}
	fabric := must(netns.New())(t)
	ok(t, fabric.Bridge("hd0", netip.MustParsePrefix("10.78.0.1/16"), netip.MustParsePrefix("fd78::1/64")))
	t.Cleanup(func() { fabric.Close() }) // and so it is not collected, with the bridge, while the test runs
	gateways := []netip.Addr{netip.MustParseAddr("10.78.0.1"), netip.MustParseAddr("fd78::1")}
	client, server = must(netns.New())(t), must(netns.New())(t)
	ok(t, client.Wire(fabric, "hd0", "w1", []netip.Prefix{netip.MustParsePrefix("10.78.0.2/16"), netip.MustParsePrefix("fd78::2/64")}, gateways))
	ok(t, server.Wire(fabric, "hd0", "w2", []netip.Prefix{netip.MustParsePrefix("10.78.0.3/16"), netip.MustParsePrefix("fd78::3/64")}, gateways))
	return client, server
}

func TestOutboundIsRedirectedAndMarkedTrafficIsNot(t *testing.T) {
	client, server := twoNamespaces(t)
	ok(t, client.Do(func() error { return capture.Apply(capture.Rules(capture.Spec{DNS: true})) }))
	greet(t, client, "[::]:15001", "captured")
	greet(t, server, "[::]:80", "direct")
	for _, target := range []string{"10.78.0.3:80", "240.240.0.1:80", "[fd78::3]:80"} {
		if got := call(t, client, target, 0); got != "captured" {
			t.Errorf("%s answered %q, want it captured", target, got)
		}
	}
	for _, target := range []string{"10.78.0.3:80", "[fd78::3]:80"} {
		if got := call(t, client, target, capture.ProxyMark); got != "direct" {
			t.Errorf("%s with the proxy's mark answered %q, want it direct", target, got)
		}
	}
}

func TestInboundIsRedirectedAndReservedPortsAreNot(t *testing.T) {
	client, server := twoNamespaces(t)
	ok(t, server.Do(func() error {
		return capture.Apply(capture.Rules(capture.Spec{ExcludeInboundPorts: []uint16{22}}))
	}))
	greet(t, server, "[::]:15006", "captured")
	greet(t, server, "[::]:22", "excluded")
	greet(t, server, "[::]:15021", "health")
	for target, want := range map[string]string{"10.78.0.3:80": "captured", "[fd78::3]:8080": "captured", "10.78.0.3:22": "excluded", "10.78.0.3:15021": "health"} {
		if got := call(t, client, target, 0); got != want {
			t.Errorf("%s answered %q, want %q", target, got, want)
		}
	}
	ok(t, server.Do(capture.Remove))
	if got := call(t, client, "10.78.0.3:80", 0); got != "refused" {
		t.Errorf("after removal port 80 answered %q, want a refusal", got)
	}
}

// greet serves a word on an address inside a namespace.
func greet(t *testing.T, ns *netns.Namespace, address, word string) {
	t.Helper()
	ok(t, ns.Do(func() error {
		l, err := net.Listen("tcp", address)
		if err != nil {
			return err
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				io.WriteString(c, word)
				c.Close()
			}
		}()
		return nil
	}))
}

func call(t *testing.T, ns *netns.Namespace, address string, mark int) (answer string) {
	t.Helper()
	ok(t, ns.Do(func() error {
		d := net.Dialer{Control: func(_, _ string, c syscall.RawConn) (err error) {
			return errors.Join(c.Control(func(fd uintptr) {
				if mark != 0 {
					err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, mark)
				}
			}), err)
		}}
		c, err := d.Dial("tcp", address)
		if errors.Is(err, unix.ECONNREFUSED) {
			answer = "refused"
			return nil
		}
		if err != nil {
			return err
		}
		defer c.Close()
		b, err := io.ReadAll(c)
		answer = string(b)
		return err
	}))
	return answer
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		ok(t, err)
		return v
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestOnlyWhatIsIncludedIsCaptured(t *testing.T) {
	client, server := twoNamespaces(t)
	spec := capture.Spec{OnlyOutbound: true, IncludeOutbound: []netip.Prefix{netip.MustParsePrefix("10.90.0.0/16")}, IncludeOutboundPorts: []uint16{443}, ExcludeOutboundPorts: []uint16{25},
		OnlyInbound: true, IncludeInboundPorts: []uint16{8080}, OutboundPort: 16001, InboundPort: 16006, ExcludeInterfaces: []string{"docker0"}, UIDs: []uint32{65000}}
	ok(t, client.Do(func() error { return capture.Apply(capture.Rules(spec)) }))
	ok(t, server.Do(func() error { return capture.Apply(capture.Rules(spec)) }))
	greet(t, client, "[::]:16001", "captured")
	greet(t, server, "[::]:16006", "taken in")
	greet(t, server, "[::]:80", "direct")
	for target, want := range map[string]string{"10.90.0.1:80": "captured", "10.78.0.3:443": "captured", "10.78.0.3:80": "direct", "10.78.0.3:8080": "taken in"} {
		if got := call(t, client, target, 0); got != want {
			t.Errorf("%s answered %q, want %q", target, got, want)
		}
	}
}

func TestRulesInWords(t *testing.T) {
	var got []string
	for _, r := range capture.Rules(capture.Spec{DNS: true, OnlyOutbound: true, IncludeOutbound: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, IncludeOutboundPorts: []uint16{443},
		ExcludeOutboundPorts: []uint16{25}, ExcludeOutbound: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}, ExcludeInterfaces: []string{"docker0"}, NoInbound: true, UIDs: []uint32{7, 8}}) {
		got = append(got, r.String())
	}
	want := `out mark 1337: left alone (the proxy's own connections)
out uid 7: left alone (the proxy's own connections)
out uid 8: left alone (the proxy's own connections)
out interface docker0: left alone (excluded interface)
in interface docker0: left alone (excluded interface)
out udp port 53: to 15053 (names are answered by the mesh)
out tcp port 53: to 15053 (names are answered by the mesh)
out interface lo: left alone (a workload talks to itself directly)
out tcp port 25: left alone (excluded port)
out to 10.1.0.0/16: left alone (excluded range)
out tcp port 443: to 15001 (included port)
out tcp to 10.0.0.0/8: to 15001 (included range)`
	if text := strings.Join(got, "\n"); text != want {
		t.Errorf("%s\nwant\n%s", text, want)
	}
}
