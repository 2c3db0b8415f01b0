package accept_test

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/heddle-mesh/heddle/data/proxy/accept"
	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
)

// TestTransparentListener takes what TPROXY brings: no address is translated, so the local one is where the client wanted to go.
func TestTransparentListener(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: network namespaces")
	}
	fabric, ns := namespace(t), namespace(t)
	check(t, fabric.Bridge("hd0", netip.MustParsePrefix("10.79.0.1/16"), netip.MustParsePrefix("fd79::1/64")))
	check(t, ns.Wire(fabric, "hd0", "w1", []netip.Prefix{netip.MustParsePrefix("10.79.0.2/16"), netip.MustParsePrefix("fd79::2/64")},
		[]netip.Addr{netip.MustParseAddr("10.79.0.1"), netip.MustParseAddr("fd79::1")}))
	check(t, ns.Do(func() error { return tproxy(15006) }))

	seen := make(chan *loop.Origin, 1)
	hooks := accept.Hooks{
		Serve: func(c loop.Conn, _ *config.Listener, chain *config.Chain) {
			o := *c.Origin()
			o.Protocols = []string{chain.Name}
			seen <- &o
			c.SetHandler(&echo{c})
			c.Close()
		},
		Refused: func(_ *config.Listener, o *loop.Origin, why accept.Refusal) {
			t.Errorf("%+v is refused for %d", o, why)
		},
	}
	set := accept.NewSet(accept.SetOptions{Workers: workers(t, 1), Secrets: newKeys(t)}, hooks)
	check(t, ns.Do(func() error {
		return set.Apply([]*config.Listener{{
			Name: "virtualInbound", Address: netip.MustParseAddrPort("[::]:15006"), IPv4Compat: true, Bind: true, Transparent: true, Inspect: config.Inspect{OriginalDst: true},
			Chains:  []*config.Chain{{Name: "web", Match: config.ChainMatch{DestinationPort: 8080}}},
			Default: &config.Chain{Name: "passthrough"},
		}})
	}))
	for to, want := range map[string]string{"10.79.0.2:8080": "web", "[fd79::2]:8080": "web", "10.79.0.2:3306": "passthrough", "[fd79::2]:3306": "passthrough"} {
		dialIn(t, fabric, to)
		select {
		case o := <-seen:
			if !o.Restored || o.Original.String() != to || o.Local != o.Original || o.Protocols[0] != want {
				t.Errorf("%s: chain %q, %+v", to, o.Protocols, o)
			}
		case <-time.After(5 * time.Second):
			t.Errorf("%s: not captured", to)
		}
	}
}

// tproxy gives all TCP that comes from outside to a local port, as it is.
func tproxy(port uint16) error {
	const mark, table = 1, 133
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		rule := netlink.NewRule()
		rule.Family, rule.Mark, rule.Table = family, mark, table
		if err := netlink.RuleAdd(rule); err != nil {
			return err
		}
		all := &net.IPNet{IP: net.IPv4zero, Mask: net.CIDRMask(0, 32)}
		if family == unix.AF_INET6 {
			all = &net.IPNet{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)}
		}
		if err := netlink.RouteAdd(&netlink.Route{LinkIndex: lo.Attrs().Index, Table: table, Type: unix.RTN_LOCAL, Scope: unix.RT_SCOPE_HOST, Dst: all}); err != nil {
			return err
		}
	}
	c, err := nftables.New()
	if err != nil {
		return err
	}
	rules := c.AddTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: "tproxy"})
	chain := c.AddChain(&nftables.Chain{Table: rules, Name: "prerouting", Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityMangle})
	c.AddRule(&nftables.Rule{Table: rules, Chain: chain, Exprs: []expr.Any{
		&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: 1},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: append([]byte("lo"), make([]byte, unix.IFNAMSIZ-2)...)},
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.IPPROTO_TCP}},
		&expr.Immediate{Register: 1, Data: binary.BigEndian.AppendUint16(nil, port)},
		&expr.TProxy{Family: unix.NFPROTO_UNSPEC, TableFamily: unix.NFPROTO_INET, RegPort: 1},
		&expr.Immediate{Register: 1, Data: binaryutil.NativeEndian.PutUint32(mark)},
		&expr.Meta{Key: expr.MetaKeyMARK, SourceRegister: true, Register: 1},
	}})
	return c.Flush()
}
