package redirect

import (
	"cmp"
	"encoding/binary"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/heddle-mesh/heddle/data/node/capture"
)

// Pod is a network namespace and what of it is captured.
type Pod struct {
	Cookie uint64 // the kernel's number of the namespace, which is never used twice
	Spec   capture.Spec
	// Addresses are the namespace's own.
	Addresses []netip.Addr
	// IPv4 and IPv6 are the addresses that it calls others from, and that captured connections keep. A family without one is not captured: its calls fail as they would
	// without a mesh.
	IPv4, IPv6 netip.Addr
	// Routes matter with Spec.ExcludeInterfaces only.
	Routes []Route
}

// Route says through which interface a range is reached.
type Route struct {
	To        netip.Prefix
	Interface string
}

// The flags of redirect.h.
const (
	podIPv4 = 1 << iota
	podIPv6
	podNoOutbound
	podOnly
	podPorts
	podGroups
)

const (
	rangeExcluded = 1 << iota
	rangeIncluded
	rangeOwn
	rangeInterface
)

const (
	rulePort = 1
	ruleUID  = 2
	ruleGID  = 3

	ruleExcluded = 1
	ruleIncluded = 2
)

// entries are what the maps hold of one pod. The same pod gives the same entries.
type entries struct {
	pod    objectPod
	ranges map[objectRangeKey]uint32
	rules  map[objectRuleKey]uint32
}

func entriesOf(p Pod, table uint64) entries {
	s := p.Spec
	e := entries{
		pod:    objectPod{Table: table, Mark: capture.ProxyMark, Outbound: cmp.Or(s.OutboundPort, capture.OutboundPort)},
		ranges: map[objectRangeKey]uint32{}, rules: map[objectRuleKey]uint32{},
	}
	if s.DNS {
		e.pod.Dns = capture.DNSPort
	}
	e.flag(s.NoOutbound, podNoOutbound)
	e.flag(s.OnlyOutbound, podOnly)
	e.flag(p.IPv4.IsValid(), podIPv4)
	e.flag(p.IPv6.IsValid(), podIPv6)
	e.pod.Source4, e.pod.Source6 = words(p.IPv4)[0], words(p.IPv6)
	e.rule(ruleUID, ruleExcluded, s.UIDs...)
	e.rule(ruleGID, ruleExcluded, s.GIDs...)
	e.flag(len(s.GIDs) > 0, podGroups)
	if len(s.UIDs)+len(s.GIDs) == 0 {
		e.rule(ruleUID, ruleExcluded, capture.ProxyUID)
	}
	for _, port := range s.ExcludeOutboundPorts {
		e.rule(rulePort, ruleExcluded, uint32(port))
	}
	if s.OnlyOutbound {
		for _, port := range s.IncludeOutboundPorts {
			e.rule(rulePort, ruleIncluded, uint32(port))
		}
	}
	e.flag(len(s.ExcludeOutboundPorts)+len(s.IncludeOutboundPorts) > 0, podPorts)
	for to, flags := range flatten(p) {
		e.ranges[rangeKey(table, to)] = flags
	}
	return e
}

func (e *entries) flag(is bool, flag uint32) {
	if is {
		e.pod.Flags |= flag
	}
}

func (e *entries) rule(kind, flag uint32, values ...uint32) {
	for _, v := range values {
		e.rules[objectRuleKey{Table: e.pod.Table, Kind: kind, Value: v}] |= flag
	}
}

// loopback is what a namespace reaches in itself whatever its addresses. The kernel takes the unspecified address for it.
var loopback = []netip.Prefix{
	netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("0.0.0.0/32"), netip.MustParsePrefix("::1/128"), netip.MustParsePrefix("::/128"),
}

// flatten says for each range what holds for the addresses in it that are in no narrower one, so that one lookup of the narrowest answers all questions.
func flatten(p Pod) map[netip.Prefix]uint32 {
	about := map[netip.Prefix]uint32{} // of each range alone
	add := func(flag uint32, ranges ...netip.Prefix) {
		for _, r := range ranges {
			about[unmap(r)] |= flag
		}
	}
	local := slices.Clone(loopback)
	for _, a := range p.Addresses {
		a = a.Unmap().WithZone("")
		local = append(local, netip.PrefixFrom(a, a.BitLen()))
	}
	add(rangeOwn, local...)
	add(rangeExcluded, p.Spec.ExcludeOutbound...)
	if p.Spec.OnlyOutbound {
		add(rangeIncluded, p.Spec.IncludeOutbound...)
	}
	through := map[netip.Prefix]string{}
	if len(p.Spec.ExcludeInterfaces) > 0 {
		for _, r := range p.Routes {
			through[unmap(r.To)] = r.Interface
			add(0, r.To)
		}
		for _, own := range local {
			through[own] = "lo"
		}
	}
	flat := make(map[netip.Prefix]uint32, len(about))
	for r := range about {
		for wide := range about {
			if covers(wide, r) {
				flat[r] |= about[wide]
			}
		}
		if slices.Contains(p.Spec.ExcludeInterfaces, route(through, r)) {
			flat[r] |= rangeInterface
		}
	}
	return flat
}

// route is the interface of the narrowest route to a whole range, or "".
func route(through map[netip.Prefix]string, to netip.Prefix) (name string) {
	bits := -1
	for r, n := range through {
		if covers(r, to) && r.Bits() > bits {
			bits, name = r.Bits(), n
		}
	}
	return name
}

func covers(wide, narrow netip.Prefix) bool {
	return wide.Bits() <= narrow.Bits() && wide.Contains(narrow.Addr())
}

// unmap gives a range of IPv4 in IPv6 form as one of IPv4, without the bits that do not count.
func unmap(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked()
}

func rangeKey(table uint64, p netip.Prefix) objectRangeKey {
	k := objectRangeKey{Prefix: uint32(96 + p.Bits()), Family: unix.AF_INET, Table: table, Ip: words(p.Addr())}
	if p.Addr().Is6() {
		k.Family = unix.AF_INET6
	}
	return k
}

// words are an address as the kernel keeps it: in network byte order, IPv4 in the first word.
func words(a netip.Addr) (w [4]uint32) {
	b := a.AsSlice()
	for i := range len(b) / 4 {
		w[i] = binary.NativeEndian.Uint32(b[4*i:])
	}
	return w
}
