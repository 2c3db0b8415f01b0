package accept_test

import (
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/heddle-mesh/heddle/data/node/capture"
	"github.com/heddle-mesh/heddle/data/node/netns"
	"github.com/heddle-mesh/heddle/data/proxy/accept"
	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
)

// TestOriginalDestination captures connections in a namespace of its own and looks what the proxy learns of them.
func TestOriginalDestination(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: network namespaces")
	}
	fabric, ns := namespace(t), namespace(t)
	check(t, fabric.Bridge("hd0", netip.MustParsePrefix("10.79.0.1/16"), netip.MustParsePrefix("fd79::1/64")))
	check(t, ns.Wire(fabric, "hd0", "w1", []netip.Prefix{netip.MustParsePrefix("10.79.0.2/16"), netip.MustParsePrefix("fd79::2/64")},
		[]netip.Addr{netip.MustParseAddr("10.79.0.1"), netip.MustParseAddr("fd79::1")}))
	check(t, ns.Do(func() error { return capture.Apply(capture.Rules(capture.Spec{})) }))

	seen, refused := make(chan *loop.Origin, 1), make(chan accept.Refusal, 1)
	hooks := accept.Hooks{
		Serve: func(c loop.Conn, _ *config.Listener, chain *config.Chain) {
			o := *c.Origin()
			o.Protocols = []string{chain.Name}
			seen <- &o
			c.SetHandler(&echo{c})
			c.Close()
		},
		Refused: func(_ *config.Listener, _ *loop.Origin, why accept.Refusal) { refused <- why },
	}
	set := accept.NewSet(accept.SetOptions{Workers: workers(t, 1), Secrets: newKeys(t)}, hooks)
	check(t, ns.Do(func() error {
		return set.Apply([]*config.Listener{
			{Name: "virtualOutbound", Address: netip.MustParseAddrPort("[::]:15001"), IPv4Compat: true, Bind: true, UseOriginalDst: true, Default: &config.Chain{Name: "passthrough"}},
			{Name: "http4", Address: netip.MustParseAddrPort("0.0.0.0:80"), Default: &config.Chain{Name: "http4"}},
			{Name: "exact6", Address: netip.MustParseAddrPort("[fd79::77]:3306"), Default: &config.Chain{Name: "exact6"}},
		})
	}))
	for to, want := range map[string]string{
		"10.79.0.9:80": "http4", "240.240.0.1:443": "passthrough", "[fd79::77]:3306": "exact6", "[fd79::9]:8080": "passthrough",
	} {
		dialIn(t, ns, to)
		select {
		case o := <-seen:
			if !o.Restored || o.Original.String() != to || o.Protocols[0] != want || o.Local.Port() != 15001 {
				t.Errorf("%s: chain %q, %+v", to, o.Protocols, o)
			}
		case <-time.After(5 * time.Second):
			t.Errorf("%s: not captured", to)
		}
	}
	dialIn(t, ns, "127.0.0.1:15001")
	select {
	case why := <-refused:
		if why != accept.CircularPath {
			t.Errorf("refused for %d", why)
		}
	case <-seen:
		t.Error("a connection to the capturing listener itself was served")
	case <-time.After(5 * time.Second):
		t.Error("nothing became of a connection to the capturing listener itself")
	}
}

func namespace(t *testing.T) *netns.Namespace {
	t.Helper()
	n, err := netns.New()
	check(t, err)
	t.Cleanup(func() { n.Close() })
	return n
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func dialIn(t *testing.T, ns *netns.Namespace, to string) {
	t.Helper()
	check(t, ns.Do(func() error {
		c, err := net.DialTimeout("tcp", to, 5*time.Second)
		if err != nil {
			return err
		}
		return c.Close()
	}))
}
