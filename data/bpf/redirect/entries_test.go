package redirect

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/heddle-mesh/heddle/data/node/capture"
)

func TestEntriesOfAPod(t *testing.T) {
	prefixes := func(texts ...string) (all []netip.Prefix) {
		for _, t := range texts {
			all = append(all, netip.MustParsePrefix(t))
		}
		return all
	}
	e := entriesOf(Pod{
		Cookie: 9,
		Spec: capture.Spec{DNS: true, OnlyOutbound: true, IncludeOutbound: prefixes("10.0.0.0/8", "10.78.3.0/24"), ExcludeOutbound: prefixes("10.78.0.0/16", "::ffff:192.0.2.0/120"),
			IncludeOutboundPorts: []uint16{443}, ExcludeOutboundPorts: []uint16{25, 443}, ExcludeInterfaces: []string{"docker0"}, UIDs: []uint32{7}},
		Addresses: []netip.Addr{netip.MustParseAddr("10.78.0.2"), netip.MustParseAddr("fe80::1%eth0")},
		IPv4:      netip.MustParseAddr("10.78.0.2"),
		Routes: []Route{{netip.MustParsePrefix("0.0.0.0/0"), "docker0"}, {netip.MustParsePrefix("10.0.0.0/7"), "eth0"}, {netip.MustParsePrefix("10.78.3.128/25"), "eth0"},
			{netip.MustParsePrefix("10.78.3.128/25"), "docker0"}},
	}, 3)
	p := e.pod
	if p.Table != 3 || p.Mark != capture.ProxyMark || p.Outbound != 15001 || p.Dns != 15053 || p.Flags != podIPv4|podOnly|podPorts || p.Source4 != words(netip.MustParseAddr("10.78.0.2"))[0] {
		t.Errorf("pod: %+v", p)
	}
	var got []string
	for k, flags := range e.ranges {
		var b [16]byte
		for i, w := range k.Ip {
			binary.NativeEndian.PutUint32(b[4*i:], w)
		}
		a := netip.AddrFrom16(b)
		if k.Family == unix.AF_INET {
			a = netip.AddrFrom4([4]byte(b[:4]))
		}
		got = append(got, fmt.Sprintf("%s/%d %s", a, k.Prefix-96, flagNames(flags)))
	}
	for k, flags := range e.rules {
		got = append(got, fmt.Sprintf("%d %d %d", k.Kind, k.Value, flags))
	}
	slices.Sort(got)
	want := `0.0.0.0/0 interface
0.0.0.0/32 own
1 25 1
1 443 3
10.0.0.0/7 none
10.0.0.0/8 included
10.78.0.0/16 excluded included
10.78.0.2/32 excluded included own
10.78.3.0/24 excluded included
10.78.3.128/25 excluded included interface
127.0.0.0/8 own
192.0.2.0/24 excluded interface
2 7 1
::/128 own
::1/128 own
fe80::1/128 own`
	if text := strings.Join(got, "\n"); text != want {
		t.Errorf("%s\nwant\n%s", text, want)
	}
}

func flagNames(flags uint32) string {
	var names []string
	for i, n := range []string{"excluded", "included", "own", "interface"} {
		if flags&(1<<i) != 0 {
			names = append(names, n)
		}
	}
	if names == nil {
		return "none"
	}
	return strings.Join(names, " ")
}

// TestOneLookupAnswers: the flags of the narrowest range are those of all ranges with the address.
func TestOneLookupAnswers(t *testing.T) {
	address := rapid.Custom(func(t *rapid.T) netip.Addr {
		// few distinct bits, so that ranges are in each other
		return netip.AddrFrom4([4]byte{10, byte(rapid.IntRange(0, 3).Draw(t, "b")), byte(rapid.IntRange(0, 1).Draw(t, "c")), byte(rapid.IntRange(0, 1).Draw(t, "d"))})
	})
	ranges := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) netip.Prefix {
		return netip.PrefixFrom(address.Draw(t, "range"), rapid.IntRange(0, 32).Draw(t, "bits"))
	}), 0, 6)
	rapid.Check(t, func(t *rapid.T) {
		p := Pod{Spec: capture.Spec{OnlyOutbound: true, IncludeOutbound: ranges.Draw(t, "included"), ExcludeOutbound: ranges.Draw(t, "excluded")}}
		flat := flatten(p)
		a := address.Draw(t, "address")
		in := func(all []netip.Prefix) bool {
			return slices.ContainsFunc(all, func(r netip.Prefix) bool { return r.Contains(a) })
		}
		var narrowest netip.Prefix
		for r := range maps.Keys(flat) {
			if r.Contains(a) && (!narrowest.IsValid() || r.Bits() > narrowest.Bits()) {
				narrowest = r
			}
		}
		flags := flat[narrowest]
		if got, want := flags&rangeExcluded != 0, in(p.Spec.ExcludeOutbound); got != want {
			t.Fatalf("%s: excluded %t, want %t", a, got, want)
		}
		if got, want := flags&rangeIncluded != 0, in(p.Spec.IncludeOutbound); got != want {
			t.Fatalf("%s: included %t, want %t", a, got, want)
		}
	})
}

func TestRestIsWhatArrives(t *testing.T) {
	for _, r := range capture.Rules(Rest(capture.Spec{DNS: true})) {
		own := r.Mark == capture.ProxyMark || r.UID == capture.ProxyUID // the programs leave the proxy's own connections alone
		if r.Redirect != 0 && r.Hook == capture.Output && !own {
			t.Errorf("%s is captured twice", r)
		}
	}
	known := 0
	for _, r := range capture.Rules(Rest(capture.Spec{Datagrams: true})) {
		if r.Known != 0 {
			known++
		}
	}
	if known != 2 {
		t.Errorf("%d rules for datagrams, want one for each family", known)
	}
}

func TestCgroup2IsFoundAmongOthers(t *testing.T) {
	mounts := "tmpfs /sys/fs/cgroup tmpfs rw 0 0\ncgroup /sys/fs/cgroup/cpu cgroup rw 0 0\ncgroup2 /sys/fs/cgroup/a\\040b cgroup2 rw 0 0\ncgroup2 /other cgroup2 rw 0 0\n"
	if got := cgroup2(bufio.NewScanner(strings.NewReader(mounts))); got != "/sys/fs/cgroup/a b" {
		t.Errorf("found %q", got)
	}
	if got := cgroup2(bufio.NewScanner(strings.NewReader("tmpfs /sys/fs/cgroup tmpfs rw 0 0\n"))); got != "" {
		t.Errorf("found %q where there is none", got)
	}
}
