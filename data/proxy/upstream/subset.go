package upstream

import (
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/stats"
)

// subsets are the parts of a view, by labels. Each is made when the first request asks for it, because endpoints may change many times before.
type subsets struct {
	c     *Cluster
	def   *config.Cluster
	hosts []*Host
	made  uint64   // of the view that is divided
	views sync.Map // by name
	found sync.Map // *config.SubsetMatch → *selection
	finds atomic.Int32
}

// maxFinds bounds what is remembered of routes; beyond it all is forgotten, since routes come and go while endpoints stay.
const maxFinds = 4096

// selection is where a request goes: to the first view, or when that has nobody to the second. Either may be nil.
type selection struct {
	first, panics *view
	count         *stats.Handle
}

// subsetStats are Envoy's counters of subsets.
type subsetStats struct{ selected, fallback, panics stats.Handle }

func newSubsetStats(r *stats.Registry, def *config.Cluster) (s subsetStats) {
	if r == nil || def.Subsets == nil {
		return s
	}
	counter := func(n string) stats.Handle {
		return r.Counter(stats.Desc{Name: "envoy_cluster_" + n, Labels: []stats.Label{{Name: "envoy_cluster_name", Value: def.Name}}, Dotted: "cluster." + def.Name + "." + n})
	}
	return subsetStats{selected: counter("lb_subsets_selected"), fallback: counter("lb_subsets_fallback"), panics: counter("lb_subsets_fallback_panic")}
}

// divided chooses within the subset that a request asks for, or what stands in for it.
func (c *Chooser) divided(cl *Cluster, def *config.Cluster, v *view, n Need) *Host {
	m := n.Match
	if m != nil && def.Subsets.List && m.Rest != nil {
		for _, one := range m.List {
			if h := c.within(cl, def, v, one, n); h != nil {
				return h
			}
		}
		return nil
	}
	return c.within(cl, def, v, m, n)
}

func (c *Chooser) within(cl *Cluster, def *config.Cluster, v *view, m *config.SubsetMatch, n Need) *Host {
	s := v.parts.find(m)
	if s.first != nil {
		if h := c.from(cl, def, s.first, n); h != nil {
			n.fell(m != nil && s.count != &cl.subsetStats.selected)
			c.inc(s.count)
			return h
		}
	}
	if s.panics != nil {
		if h := c.from(cl, def, s.panics, n); h != nil {
			n.fell(true)
			c.inc(&cl.subsetStats.panics)
			return h
		}
	}
	return nil
}

// fell notes that others stand in for the endpoints that are asked for.
func (n *Need) fell(it bool) {
	if n.Note != nil {
		n.Note.fell = it
	}
}

func (c *Chooser) inc(h *stats.Handle) {
	if c.Shard != nil && h != nil {
		c.Shard.Inc(*h)
	}
}

// find remembers what resolve says.
func (s *subsets) find(m *config.SubsetMatch) *selection {
	if found, ok := s.found.Load(m); ok {
		return found.(*selection)
	}
	if s.finds.Add(1) > maxFinds {
		s.finds.Store(0)
		s.found.Clear()
	}
	found := s.resolve(m)
	s.found.Store(m, found)
	return found
}

// resolve goes from the subset with a request's labels to what its selector, and then the cluster, says instead (Envoy, "Load Balancer Subsets").
func (s *subsets) resolve(m *config.SubsetMatch) *selection {
	u := s.def.Subsets
	for asked := m; m != nil; {
		at := slices.IndexFunc(u.Selectors, func(x config.SubsetSelector) bool { return slices.Equal(x.Keys, m.Keys) })
		if at < 0 {
			break
		}
		x := &u.Selectors[at]
		if v := s.part(m.Labels, m.Keys, s.single(m.Keys)); v != nil {
			return &selection{first: v, count: &s.c.subsetStats.selected}
		}
		switch whole := m == asked; { // to fewer labels only the cluster's fallback applies, as in Envoy
		case whole && x.Fallback == config.FallbackNone:
			return &selection{}
		case whole && x.Fallback == config.FallbackAny:
			return &selection{first: s.all()}
		case whole && x.Fallback == config.FallbackDefault:
			return &selection{first: s.standard()}
		case x.Fallback == config.FallbackKeys:
			fewer := map[string]string{}
			for _, k := range x.FallbackKeys {
				fewer[k] = m.Labels[k]
			}
			m = config.NewSubsetMatch(fewer)
			continue
		}
		break
	}
	out := &selection{count: &s.c.subsetStats.fallback}
	switch u.Fallback {
	case config.FallbackAny:
		out.first = s.all()
	case config.FallbackDefault:
		out.first = s.standard()
	default:
		return out
	}
	if u.PanicAny {
		out.panics = s.all()
	}
	return out
}

// single says whether selectors with these keys mean one endpoint.
func (s *subsets) single(keys []string) bool {
	return slices.ContainsFunc(s.def.Subsets.Selectors, func(x config.SubsetSelector) bool { return x.Single && slices.Equal(x.Keys, keys) })
}

func (s *subsets) all() *view { return s.part(nil, nil, false) }

func (s *subsets) standard() *view {
	m := config.NewSubsetMatch(s.def.Subsets.Default)
	return s.part(m.Labels, m.Keys, false)
}

// part is the view of the endpoints with all labels, nil when there is none.
func (s *subsets) part(labels map[string]string, keys []string, single bool) *view {
	var name strings.Builder
	for _, k := range keys {
		name.WriteString(k + "=" + labels[k] + "\n")
	}
	if v, ok := s.views.Load(name.String()); ok {
		return v.(*view)
	}
	var hosts []*Host
	for _, h := range s.hosts {
		if !single || len(hosts) == 0 {
			if hasLabels(h.Config(), labels, s.def.Subsets.ListAsAny) {
				hosts = append(hosts, h)
			}
		}
	}
	var v *view
	if len(hosts) > 0 {
		v = s.c.viewOf(s.def, hosts, s.counted())
		v.name, v.made = name.String()+".", s.made
	}
	kept, _ := s.views.LoadOrStore(name.String(), v)
	return kept.(*view)
}

// counted are how many endpoints each locality of each priority has, where weights are scaled by that.
func (s *subsets) counted() map[int]int {
	if !s.def.Subsets.ScaleWeights {
		return nil
	}
	n := map[int]int{}
	for _, h := range s.hosts {
		n[h.locality]++
	}
	return n
}

func hasLabels(e *config.Endpoint, labels map[string]string, lists bool) bool {
	for k, v := range labels {
		is := e.Labels[k]
		if list := lists && strings.HasPrefix(is, "["); list && !oneOf(is, v) || !list && is != v {
			return false
		}
	}
	return true
}

// oneOf says whether a value is in a list, both as JSON. A list that counts by its elements is no value of its own.
func oneOf(list, v string) bool {
	var values []json.RawMessage
	if json.Unmarshal([]byte(list), &values) != nil {
		return false
	}
	return slices.ContainsFunc(values, func(m json.RawMessage) bool { return string(m) == v })
}
