package patch

import (
	"errors"
	"fmt"
	"slices"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"google.golang.org/protobuf/proto"

	"github.com/heddle-mesh/heddle/control/compile/view"
	"github.com/heddle-mesh/heddle/mesh"
)

// Listener is a listener with the patches that are for it; nil when there is none. l is what was compiled under the name, nil for nothing. closed is the filter that closes a connection.
func Listener(v *view.View, name string, l *listenerv3.Listener, closed func() []*listenerv3.Filter) *listenerv3.Listener {
	patches := v.Patches(view.Listeners, name)
	if l == nil {
		return added(&run{v: v}, only(patches, mesh.PatchListener), value[listenerv3.Listener])
	}
	r := &run{v: v, context: mesh.PatchOutbound}
	switch {
	case v.Kind() == mesh.Router:
		r.context = mesh.PatchGateway
	case l.TrafficDirection == corev3.TrafficDirection_INBOUND:
		r.context = mesh.PatchInbound
		l = inboundRoutes(r, l)
	}
	if len(patches) == 0 {
		return l
	}
	for _, p := range patches {
		if adds(p) && p.Target == mesh.PatchListener {
			taken(v, p, "listener")
		}
	}
	patches = slices.Clone(patches)
	slices.SortStableFunc(patches, func(a, b *mesh.Patch) int { return phase(a) - phase(b) })
	out, ok := apply(r, l, patches, kind[*listenerv3.Listener]{
		change: r.listener, check: checkListener, shut: func(l *listenerv3.Listener, p *mesh.Patch) func(*listenerv3.Listener) {
			return r.shutListener(l, p, closed)
		},
	})
	if !ok {
		return nil
	}
	return out
}

func only(patches []*mesh.Patch, t mesh.PatchTarget) []*mesh.Patch {
	return slices.DeleteFunc(slices.Clone(patches), func(p *mesh.Patch) bool { return p.Target != t })
}

// phase is Istio's order: the listener, its own filters, its chains, their filters, what is in those, and chains that are added. Filters are merged when all are there.
func phase(p *mesh.Patch) int {
	switch p.Target {
	case mesh.PatchListener:
		return 0
	case mesh.PatchListenerFilter:
		return 1
	case mesh.PatchFilterChain:
		if adds(p) {
			return 7
		}
		return 2
	case mesh.PatchNetworkFilter:
		if merges(p) {
			return 4
		}
		return 3
	}
	if merges(p) {
		return 6
	}
	return 5
}

func (r *run) listener(l *listenerv3.Listener, p *mesh.Patch) (outcome, error) {
	if !r.matchesListener(l, p) {
		return missed, nil
	}
	switch p.Target {
	case mesh.PatchListener:
		return r.wholeListener(l, p)
	case mesh.PatchListenerFilter:
		m := ordered[*listenerv3.ListenerFilter]{list: l.ListenerFilters, end: len(l.ListenerFilters), selective: p.Match.ListenerFilter != ""}
		m.selects = func(f *listenerv3.ListenerFilter) bool { return f.Name == p.Match.ListenerFilter }
		out, what, err := edit(m, p, func() (*listenerv3.ListenerFilter, error) { return value[listenerv3.ListenerFilter](p), r.grow(p) })
		l.ListenerFilters = out
		return what, err
	case mesh.PatchFilterChain:
		return r.chain(l, p)
	}
	what := missed
	for _, c := range chains(l) {
		if !matchesChain(l, c, p) {
			continue
		}
		edited, err := r.filters(c, p)
		if what = max(what, edited); err != nil {
			return what, err
		}
	}
	return what, nil
}

func (r *run) wholeListener(l *listenerv3.Listener, p *mesh.Patch) (outcome, error) {
	switch {
	case adds(p):
		return missed, nil
	case p.Operation == mesh.PatchRemove:
		return removed, nil
	}
	from := value[listenerv3.Listener](p)
	if from.Name != "" && from.Name != l.Name {
		return changed, errRenamed
	}
	return changed, r.mergeValue(p, l, from)
}

// chains are all filter chains, the default one last.
func chains(l *listenerv3.Listener) []*listenerv3.FilterChain {
	out := slices.Clone(l.FilterChains)
	if l.DefaultFilterChain != nil {
		out = append(out, l.DefaultFilterChain)
	}
	return out
}

func (r *run) chain(l *listenerv3.Listener, p *mesh.Patch) (outcome, error) {
	if adds(p) {
		l.FilterChains = append(l.FilterChains, value[listenerv3.FilterChain](p))
		return changed, r.grow(p)
	}
	what := missed
	for _, c := range chains(l) {
		if !matchesChain(l, c, p) {
			continue
		}
		what = changed
		if p.Operation == mesh.PatchRemove {
			l.FilterChains = slices.DeleteFunc(l.FilterChains, func(x *listenerv3.FilterChain) bool { return x == c })
			if l.DefaultFilterChain == c {
				l.DefaultFilterChain = nil
			}
			continue
		}
		if err := r.mergeValue(p, c, value[listenerv3.FilterChain](p)); err != nil {
			return what, err
		}
	}
	return what, nil
}

// filters changes the filters of a chain, or those within.
func (r *run) filters(c *listenerv3.FilterChain, p *mesh.Patch) (outcome, error) {
	name := ""
	if p.Match.Chain != nil {
		name = p.Match.Chain.Filter
	}
	if p.Target == mesh.PatchHTTPFilter {
		return r.httpFilters(c, p, name)
	}
	if merges(p) {
		return r.mergeFilters(c, p, name)
	}
	m := ordered[*listenerv3.Filter]{list: c.Filters, end: len(c.Filters), selective: name != "", selects: func(f *listenerv3.Filter) bool { return f.Name == name }}
	if m.end > 0 && terminal(c.Filters[m.end-1]) {
		m.end--
	}
	out, what, err := edit(m, p, func() (*listenerv3.Filter, error) { return value[listenerv3.Filter](p), r.grow(p) })
	c.Filters = out
	return what, err
}

func (r *run) mergeFilters(c *listenerv3.FilterChain, p *mesh.Patch, name string) (outcome, error) {
	from, what := value[listenerv3.Filter](p), missed
	for _, f := range c.Filters {
		if name != "" && f.Name != name || f.GetTypedConfig() == nil {
			continue
		}
		if name == "" && from.GetTypedConfig() != nil && from.GetTypedConfig().MessageName() != f.GetTypedConfig().MessageName() {
			continue // it is for filters of its own type
		}
		what = changed
		if err := r.mergeValue(p, f, from); err != nil {
			return what, err
		}
	}
	return what, nil
}

// terminals end a chain of filters: exactly the last one must be of such a type.
var terminals = []string{
	"envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
	"envoy.extensions.filters.network.redis_proxy.v3.RedisProxy", "envoy.extensions.filters.network.thrift_proxy.v3.ThriftProxy",
	"envoy.extensions.filters.network.dubbo_proxy.v3.DubboProxy", "envoy.extensions.filters.network.generic_proxy.v3.GenericProxy",
	"envoy.extensions.filters.network.echo.v3.Echo", "envoy.extensions.filters.network.direct_response.v3.Config",
	"envoy.extensions.filters.network.reverse_tunnel.v3.ReverseTunnel",
}

func terminal(f *listenerv3.Filter) bool {
	return slices.Contains(terminals, string(f.GetTypedConfig().MessageName()))
}

// checkListener says what Envoy refuses of a listener's chains.
func checkListener(l *listenerv3.Listener) error {
	all := chains(l)
	if len(all) == 0 && l.UdpListenerConfig == nil && len(l.ListenerFilters) == 0 {
		return errors.New("the listener has no filter chain left")
	}
	for _, c := range all {
		for i, f := range c.Filters {
			if last := i == len(c.Filters)-1; terminal(f) && !last {
				return fmt.Errorf("filter %s must be the last of its chain", f.Name)
			}
			if err := checkHTTP(f); err != nil {
				return err
			}
		}
	}
	return nil
}

// shutListener closes what a patch matches: requests are denied where it is in the chain's HTTP filters, connections are closed otherwise.
func (r *run) shutListener(l *listenerv3.Listener, p *mesh.Patch, closed func() []*listenerv3.Filter) (again func(*listenerv3.Listener)) {
	var shut []*listenerv3.FilterChain
	switch {
	case !r.matchesListener(l, p) || p.Target == mesh.PatchListener && adds(p):
	case p.Target == mesh.PatchFilterChain && adds(p):
		c := value[listenerv3.FilterChain](p)
		c = &listenerv3.FilterChain{Name: c.Name, FilterChainMatch: c.FilterChainMatch, Filters: closed()}
		l.FilterChains, shut = append(l.FilterChains, c), append(shut, c)
	default:
		for _, c := range chains(l) {
			if !r.guarded(l, c, p) {
				continue
			}
			if p.Target != mesh.PatchHTTPFilter || !r.v.Can(mesh.FeatureRBAC) || !denyRequests(c, p) {
				c.Filters = closed()
			}
			shut = append(shut, c)
		}
	}
	return func(l *listenerv3.Listener) {
		for _, c := range chains(l) {
			for _, s := range shut {
				if c.Name == s.Name && proto.Equal(c.FilterChainMatch, s.FilterChainMatch) {
					c.Filters = s.Filters
				}
			}
		}
	}
}

// guarded says whether a patch would change a chain. Where it cannot be told, it would.
func (r *run) guarded(l *listenerv3.Listener, c *listenerv3.FilterChain, p *mesh.Patch) bool {
	if !matchesChain(l, c, p) {
		return false
	}
	if p.Target != mesh.PatchNetworkFilter && p.Target != mesh.PatchHTTPFilter {
		return true
	}
	trial := &run{v: r.v, context: r.context}
	what, err := trial.filters(proto.Clone(c).(*listenerv3.FilterChain), p)
	return what != missed || err != nil
}
