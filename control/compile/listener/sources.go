package listener

import (
	"net/netip"
	"slices"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"

	"github.com/heddle-mesh/heddle/control/compile/filter"
	"github.com/heddle-mesh/heddle/control/compile/message"
	"github.com/heddle-mesh/heddle/control/compile/view"
	"github.com/heddle-mesh/heddle/mesh"
)

// fork is where connections go: those from certain addresses by rules of their own, and the rest. A proxy chooses by the narrowest prefix, so an address that an earlier
// rule takes is not left to a later one.
type fork struct {
	taken []netip.Prefix
	ways  []way4
	rest  []filter.Share
	limit filter.Limits
	done  bool // the rest is settled
}

// way4 is where connections from some addresses go.
type way4 struct {
	from  []netip.Prefix
	to    []filter.Share
	limit filter.Limits
}

// add takes a rule into account with those of its matches that apply.
func (f *fork) add(matches []mesh.L4Match, all bool, to []filter.Share, limit filter.Limits) {
	if f.done || len(to) == 0 {
		return
	}
	w := way4{to: to, limit: limit}
	for _, m := range matches {
		if len(m.Sources) == 0 {
			all = true
		}
		for _, text := range m.Sources {
			p, err := netip.ParsePrefix(text)
			if err != nil || slices.ContainsFunc(f.taken, func(t netip.Prefix) bool { return t.Bits() <= p.Bits() && t.Contains(p.Addr()) }) {
				continue
			}
			f.taken, w.from = append(f.taken, p), append(w.from, p)
		}
	}
	if len(w.from) > 0 && !all {
		f.ways = append(f.ways, w)
	}
	if all {
		f.rest, f.limit, f.done = to, limit, true
	}
}

// chains are those of the ways, each with what a match must have besides.
func (f *fork) chains(v *view.View, guard filter.Guard, with func() *listenerv3.FilterChainMatch) (out []*listenerv3.FilterChain) {
	for _, w := range f.ways {
		match := with()
		for _, p := range w.from {
			match.SourcePrefixRanges = append(match.SourcePrefixRanges, message.Prefix(p))
		}
		out = append(out, &listenerv3.FilterChain{FilterChainMatch: match, Filters: append(guard.TCP(), filter.TCP(v, mesh.ClientSide, w.limit, w.to...)...)})
	}
	return out
}
