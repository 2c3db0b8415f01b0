package capture

import (
	"net/netip"
	"strings"
	"testing"
)

func destinations(texts ...string) (all []netip.AddrPort) {
	for _, t := range texts {
		all = append(all, netip.MustParseAddrPort(t))
	}
	return all
}

// TestAliases: a destination keeps its alias, no two have one, and one that goes leaves its alias unused for the time of the change.
func TestAliases(t *testing.T) {
	var l led
	for _, step := range []struct {
		destinations []netip.AddrPort
		want         map[string]string
	}{
		{destinations("10.0.0.1:53", "10.0.0.1:54", "[fd00::1]:53"), map[string]string{"10.0.0.1:53": "127.68.0.1", "10.0.0.1:54": "127.68.0.2", "[fd00::1]:53": "fd68:6564:646c:6500::1"}},
		{destinations("10.0.0.1:54", "10.0.0.2:53"), map[string]string{"10.0.0.1:54": "127.68.0.2", "10.0.0.2:53": "127.68.0.3"}},
		{destinations("10.0.0.3:53", "10.0.0.2:53", "[fd00::2]:53"), map[string]string{"10.0.0.3:53": "127.68.0.1", "10.0.0.2:53": "127.68.0.3", "[fd00::2]:53": "fd68:6564:646c:6500::1"}},
		{nil, nil},
	} {
		next, err := l.assign(step.destinations)
		if err != nil || len(next) != len(step.want) {
			t.Fatalf("%v, %v", next, err)
		}
		for at, want := range step.want {
			if got := next[netip.MustParseAddrPort(at)]; got.String() != want {
				t.Errorf("%s has %s, want %s", at, got, want)
			}
		}
		l = next
	}
}

// TestAliasesRunOut: there are as many as a range of 16 bits has, but one.
func TestAliasesRunOut(t *testing.T) {
	var all []netip.AddrPort
	for n := range maxKnown + 1 {
		all = append(all, netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}), 53))
	}
	l, err := led(nil).assign(all[:maxKnown])
	if err != nil || l[all[maxKnown-1]].String() != "127.68.255.255" {
		t.Errorf("the last has %s (%v)", l[all[maxKnown-1]], err)
	}
	if _, err := led(nil).assign(all); err == nil || !strings.Contains(err.Error(), "10.0.255.255:53 has no place") {
		t.Errorf("%v", err)
	}
}

// TestIPTablesRefuseDatagrams rather than capture less than was asked for.
func TestIPTablesRefuseDatagrams(t *testing.T) {
	if err := (IPTables{}).Apply(Spec{Datagrams: true}); err == nil || !strings.Contains(err.Error(), "nftables") {
		t.Errorf("%v", err)
	}
}

func TestRulesOfDatagramsInWords(t *testing.T) {
	var got []string
	s := Spec{Datagrams: true, NoOutbound: true, NoInbound: true, OnlyOutbound: true, IncludeOutboundPorts: []uint16{514}, ExcludeOutboundPorts: []uint16{25}}
	s.ExcludeOutbound, s.IncludeOutbound = []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	for _, r := range Rules(s)[3:] {
		got = append(got, r.String())
	}
	want := `out udp port 25: left alone (excluded port)
out udp to 10.1.0.0/16: left alone (excluded range)
out udp to 0.0.0.0/0 port 514: to 15001 if the proxy knows the destination (included port)
out udp to ::/0 port 514: to 15001 if the proxy knows the destination (included port)
out udp to 10.0.0.0/8: to 15001 if the proxy knows the destination (included range)`
	if text := strings.Join(got, "\n"); text != want {
		t.Errorf("%s\nwant\n%s", text, want)
	}
}
