package graph

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/common/model"

	"github.com/heddle-mesh/heddle/telemetry"
)

// builder adds samples up.
type builder struct {
	names names
	nodes map[string]*Node
	ends  map[*Node]*pair // inbound sums and outbound sums
	edges map[edgeKey]*edge
}

type pair struct {
	in, out sums
	drawn   bool // has an edge
}

type edgeKey struct{ source, target, protocol string }

// edge has what either side's proxy told.
type edge struct {
	services                 map[string]bool
	bySource, byDestination  sums
	toldSource, toldAtTarget bool
	quantiles                [2][3]*float64 // by reporter: source, destination
}

// Build makes the graph of samples.
func Build(s *Samples, o Options) *Graph {
	b := &builder{names: names{graph: o.Type}, nodes: map[string]*Node{}, ends: map[*Node]*pair{}, edges: map[edgeKey]*edge{}}
	requests, opened, sent := ordered(s.Requests), ordered(s.Opened), ordered(s.Sent)
	b.names.learn(slices.Concat(requests, opened, sent))
	b.add(requests, "", (*sums).request)
	b.add(ordered(s.RequestBytes), "", func(t *sums, x sample) { t.requestBytes += x.value })
	b.add(ordered(s.ResponseBytes), "", func(t *sums, x sample) { t.responseBytes += x.value })
	b.add(opened, "tcp", (*sums).connection)
	b.add(ordered(s.Received), "tcp", func(t *sums, x sample) { t.requestBytes += x.value; t.stream(x) })
	b.add(sent, "tcp", func(t *sums, x sample) { t.responseBytes += x.value; t.stream(x) })
	for i := range quantiles {
		b.edgeQuantile(ordered(s.Edges[i]), i)
	}
	b.strangers()
	g := &Graph{Type: o.Type, Time: o.Time.UTC(), Window: o.Window.Seconds(), Nodes: []Node{}, Edges: b.finish()}
	for _, id := range slices.Sorted(maps.Keys(b.nodes)) {
		n := b.nodes[id]
		if !b.ends[n].drawn { // what it had belongs to others
			continue
		}
		n.In, n.Out = b.ends[n].in.traffic(), b.ends[n].out.traffic()
		g.Nodes = append(g.Nodes, *n)
	}
	b.nodeQuantiles(g.Nodes, &s.Nodes)
	ownTime(g)
	for i := range g.Nodes {
		g.Nodes[i].judge()
	}
	if len(s.Requests)+len(s.Opened)+len(s.Sent) == 0 {
		g.Warnings = append(g.Warnings, "No proxy told of traffic in the "+o.Window.Round(time.Second).String()+" before; metrics come with the first request, and rates after two scrapes.")
	}
	return g
}

// node finds or makes one.
func (b *builder) node(e end) *Node {
	id := e.id()
	n := b.nodes[id]
	if n == nil {
		n = &Node{ID: id, Kind: e.kind, Name: e.name, Namespace: e.namespace, Cluster: e.cluster, Boxes: e.boxes()}
		b.nodes[id], b.ends[n] = n, &pair{}
	}
	// Who sorts first is the same in every run.
	n.App, n.Version = known(n.App, e.app), known(n.Version, cmp.Or(e.version, e.revision))
	return n
}

func known(a, b string) string {
	if a == "" || b != "" && b < a {
		return b
	}
	return a
}

// add adds samples to their edges; protocol "" is what they say.
func (b *builder) add(samples []sample, fixed string, to func(*sums, sample)) {
	for _, s := range samples {
		source, target := b.node(b.names.source(s.labels)), b.node(b.names.target(s.labels))
		key := edgeKey{source.ID, target.ID, cmp.Or(fixed, protocol(s.labels))}
		e := b.edges[key]
		if e == nil {
			e = &edge{services: map[string]bool{}}
			b.edges[key] = e
		}
		if host := cmp.Or(s.labels.get("destination_service"), s.labels.get("destination_service_name")); host != "" {
			e.services[host] = true
		}
		if s.labels.get("reporter") == telemetry.ReporterSource {
			e.toldSource = e.toldSource || s.value > 0
			to(&e.bySource, s)
			continue
		}
		e.toldAtTarget = e.toldAtTarget || s.value > 0
		to(&e.byDestination, s)
	}
}

// edgeQuantile takes the durations that either side told. Where several samples are one edge, which happens when services are drawn, the slowest counts.
func (b *builder) edgeQuantile(samples []sample, i int) {
	for _, s := range samples {
		e := b.edges[edgeKey{b.names.source(s.labels).id(), b.names.target(s.labels).id(), protocol(s.labels)}]
		if e == nil {
			continue
		}
		side := 1
		if s.labels.get("reporter") == telemetry.ReporterSource {
			side = 0
		}
		e.quantiles[side][i] = slower(e.quantiles[side][i], s.value)
	}
}

func slower(a *float64, b float64) *float64 {
	if a != nil && *a >= b {
		return a
	}
	return &b
}

// keys are those of the edges, in order.
func (b *builder) keys() []edgeKey {
	return slices.SortedFunc(maps.Keys(b.edges), func(x, y edgeKey) int {
		return cmp.Or(cmp.Compare(x.source, y.source), cmp.Compare(x.target, y.target), cmp.Compare(x.protocol, y.protocol))
	})
}

// finish decides who is believed, and adds edges to their nodes.
func (b *builder) finish() []Edge {
	out := make([]Edge, 0, len(b.edges))
	for _, key := range b.keys() {
		e := b.edges[key]
		told, side, reporter := &e.bySource, 0, telemetry.ReporterSource
		if !e.toldSource && (e.toldAtTarget || e.bySource.empty()) {
			told, side, reporter = &e.byDestination, 1, telemetry.ReporterDestination
		}
		told.secure, told.looked = e.byDestination.secure, e.byDestination.looked // clients' proxies do not say how they were secured
		source, target := b.ends[b.nodes[key.source]], b.ends[b.nodes[key.target]]
		source.out.plus(told)
		target.in.plus(told)
		source.drawn, target.drawn = true, true
		t := told.traffic()
		t.P50, t.P95, t.P99 = e.quantiles[side][0], e.quantiles[side][1], e.quantiles[side][2]
		out = append(out, Edge{
			ID: key.source + ">" + key.target + ">" + key.protocol, Source: key.source, Target: key.target, Protocol: key.protocol,
			Services: slices.Sorted(maps.Keys(e.services)), Reporter: reporter, Traffic: t, Health: judge(&t, "Of these requests"),
		})
	}
	return out
}

// nodeQuantiles are what the node's own proxy measured, or else what its clients saw.
func (b *builder) nodeQuantiles(nodes []Node, vectors *[3]model.Vector) {
	byID := map[string]*Node{}
	for i := range nodes {
		byID[nodes[i].ID] = &nodes[i]
	}
	for i := range vectors {
		own, seen := map[*Node]*float64{}, map[*Node]*float64{}
		for _, s := range ordered(vectors[i]) {
			n := byID[b.names.target(s.labels).id()]
			if n == nil {
				continue
			}
			to := own
			if s.labels.get("reporter") == telemetry.ReporterSource {
				to = seen
			}
			to[n] = slower(to[n], s.value)
		}
		for _, n := range byID {
			n.In.quantile(i, cmp.Or(own[n], seen[n]))
		}
	}
}

// ownTime finds who is slow, and not only waits for somebody who is.
func ownTime(g *Graph) {
	waits := map[string]float64{}
	for _, e := range g.Edges {
		if e.Traffic.P50 != nil && e.Source != e.Target {
			waits[e.Source] = max(waits[e.Source], *e.Traffic.P50)
		}
	}
	for i := range g.Nodes {
		if n := &g.Nodes[i]; n.In.P50 != nil {
			own := max(0, *n.In.P50-waits[n.ID])
			n.Own = &own
		}
	}
}

func (t *Traffic) quantile(i int, x *float64) { *[]**float64{&t.P50, &t.P95, &t.P99}[i] = x }
