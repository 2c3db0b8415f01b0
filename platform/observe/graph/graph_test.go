package graph_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	promv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"

	"github.com/heddle-mesh/heddle/platform/observe/graph"
	"github.com/heddle-mesh/heddle/test/metrics"
)

func read(t *testing.T, from graph.Source, typ graph.Type, namespaces ...string) *graph.Graph {
	t.Helper()
	g, err := graph.Read(context.Background(), from, graph.Options{Type: typ, Time: time.Unix(600, 0), Window: time.Minute, Namespaces: namespaces})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func edge(t *testing.T, g *graph.Graph, from, to string) graph.Edge {
	t.Helper()
	for _, e := range g.Edges {
		if strings.Contains(e.Source, from) && strings.Contains(e.Target, to) {
			return e
		}
	}
	t.Fatalf("no edge from %s to %s in %s", from, to, list(g))
	return graph.Edge{}
}

func node(t *testing.T, g *graph.Graph, id string) graph.Node {
	t.Helper()
	for _, n := range g.Nodes {
		if n.ID == id {
			return n
		}
	}
	t.Fatalf("no node %s in %s", id, list(g))
	return graph.Node{}
}

func list(g *graph.Graph) string {
	var b strings.Builder
	for _, n := range g.Nodes {
		fmt.Fprintf(&b, "\n%s %s in %.2f out %.2f", n.ID, n.Health.State, n.In.Rate, n.Out.Rate)
	}
	for _, e := range g.Edges {
		fmt.Fprintf(&b, "\n%s %s %s %.2f", e.ID, e.Reporter, e.Health.State, e.Traffic.Rate)
	}
	return b.String()
}

func near(x, want float64) bool { return x > want*.99-1e-9 && x < want*1.01+1e-9 }

// The expressions go through Prometheus' own engine, and what is told twice counts once.
func TestTheShopByWorkload(t *testing.T) {
	g := read(t, metrics.New(t, metrics.Shop()), graph.Workload)
	checkout := edge(t, g, "/web-v1", "/checkout-v1")
	if !near(checkout.Traffic.Rate, 1.7) || checkout.Reporter != "source" || checkout.Health.State != graph.Failing || !near(checkout.Traffic.ErrorRate, .6/1.7) || !near(checkout.Traffic.Flags["URX"], .6) {
		t.Errorf("%+v", checkout)
	}
	if want := "Of its requests 35.3 % were answered with 5xx (failing from 10 % on), most often with the response flag URX."; node(t, g, "workload:shop/checkout-v1@laptop").Health.Reason != want {
		t.Errorf("%q", node(t, g, "workload:shop/checkout-v1@laptop").Health.Reason)
	}
	for id, want := range map[string]graph.State{
		"workload:shop/payment-v1@laptop": graph.Degraded, "workload:shop/catalog-v1@laptop": graph.Healthy, "workload:shop/audit-v1@laptop": graph.Idle, "unknown": graph.Unknown,
		"service:shop/mail": graph.Failing, "workload:shop/ledger-v1@laptop": graph.Healthy, "workload:shop/cart-v1@laptop": graph.Healthy, "workload:shop/stock-v1@laptop": graph.Degraded,
	} {
		if got := node(t, g, id).Health; got.State != want || got.Reason == "" {
			t.Errorf("%s: %+v, want %s", id, got, want)
		}
	}
	pricing := node(t, g, "workload:shop/pricing-v1@laptop")
	if pricing.In.P50 == nil || *pricing.In.P50 < 100 || *pricing.In.P99 > 250 || pricing.In.MTLS == nil || *pricing.In.MTLS != 1 {
		t.Errorf("%+v", pricing.In)
	}
	if catalog := node(t, g, "workload:shop/catalog-v1@laptop"); *pricing.Own < 100 || *catalog.Own > 10 || node(t, g, "unknown").Own != nil {
		t.Errorf("own times: pricing %g, catalog %g", *pricing.Own, *catalog.Own)
	}
	if e := edge(t, g, "/catalog-v1", "/pricing-v1"); e.Traffic.P95 == nil || *e.Traffic.P95 < 100 || !near(e.Traffic.Request, 600) {
		t.Errorf("%+v", e.Traffic)
	}
	if e := edge(t, g, "/web-v1", "/cart-v1"); *e.Traffic.MTLS != 0 {
		t.Errorf("mutual TLS %v of plain text", *e.Traffic.MTLS)
	}
	ledger := edge(t, g, "/payment-v1", "/ledger-v1")
	if ledger.Protocol != "tcp" || !near(ledger.Traffic.Connections, 1.6) || !near(ledger.Traffic.Response, 120) || *ledger.Traffic.MTLS != 1 || ledger.Traffic.P50 != nil {
		t.Errorf("%+v", ledger)
	}
	if e := edge(t, g, "/checkout-v1", "/stock-v1"); e.Protocol != "grpc" || !near(e.Traffic.GRPC["14"], .02) || !near(e.Traffic.ErrorRate, .02/1.52) {
		t.Errorf("%+v", e)
	}
	if e := edge(t, g, "unknown", "/ingress-v1"); e.Reporter != "destination" || !near(e.Traffic.Rate, 5) {
		t.Errorf("%+v", e)
	}
}

func TestTypes(t *testing.T) {
	source := metrics.New(t, metrics.Shop())
	for typ, ids := range map[graph.Type][]string{
		graph.App:          {"app:shop/catalog@laptop", "service:shop/mail", "app:istio-system/ingress@laptop"},
		graph.VersionedApp: {"app:shop/catalog/v1@laptop", "app:shop/catalog/v2@laptop"},
		graph.Service:      {"service:shop/catalog", "service:shop/web", "service:istio-system/ingress"},
	} {
		g := read(t, source, typ)
		for _, id := range ids {
			node(t, g, id)
		}
		total, slow := 0.0, 0
		for _, e := range g.Edges {
			total += e.Traffic.Rate
			if e.Traffic.P95 != nil && *e.Traffic.P95 > 100 && e.Traffic.Rate > 0 {
				slow++
			}
		}
		if !near(total, 5+5+3+.4+3+5+1.7+1.68+.05+1.52) || slow < 3 {
			t.Errorf("%s: %g requests a second, %d slow edges%s", typ, total, slow, list(g))
		}
	}
	catalog := node(t, read(t, source, graph.App), "app:shop/catalog@laptop")
	if !near(catalog.In.Rate, 3.4) || *catalog.In.P50 < 100 {
		t.Errorf("both versions of catalog: %+v", catalog)
	}
	if v := node(t, read(t, source, graph.VersionedApp), "app:shop/catalog/v2@laptop"); *v.In.P99 > 10 || strings.Join(v.Boxes, " ") != "cluster:laptop namespace:shop app:catalog" {
		t.Errorf("%+v", v)
	}
}

func TestNamespaces(t *testing.T) {
	source := metrics.New(t, metrics.Shop())
	g := read(t, source, graph.Workload, "istio-system")
	if len(g.Edges) != 2 || !near(edge(t, g, "ingress-v1", "web-v1").Traffic.Rate, 5) {
		t.Error(list(g))
	}
	if whole, both := read(t, source, graph.Workload), read(t, source, graph.Workload, "shop", "istio-system"); list(whole) != list(both) {
		t.Errorf("all namespaces by name differ from all%s%s", list(whole), list(both))
	}
	if g := read(t, source, graph.Workload, `no"such.*`); len(g.Nodes) != 0 || len(g.Warnings) != 1 {
		t.Errorf("%+v", g)
	}
}

// One that only servers' proxies tell is not lost, and a client's proxy that sees nothing does not hide what a server's does.
func TestReporters(t *testing.T) {
	call := metrics.Call{From: "a/x/v1", To: "a/y/v1", Host: "y.a", Codes: map[string]float64{"200": 2}, Reporters: "destination"}
	silent := call
	silent.Reporters, silent.Codes = "source", map[string]float64{"200": 0}
	e := edge(t, read(t, metrics.New(t, []metrics.Call{call, silent}), graph.Workload), "/x-v1", "/y-v1")
	if e.Reporter != "destination" || !near(e.Traffic.Rate, 2) {
		t.Errorf("%+v", e)
	}
}

// Over TCP a server's proxy does not know who calls: what clients tell of is not a stranger's too, but what is more than that is.
func TestStrangersOverTCP(t *testing.T) {
	connections := func(n float64) map[string]float64 { return map[string]float64{"open": n} }
	client := metrics.Call{From: "a/x/v1", To: "a/db/v1", Host: "db.a", Protocol: "tcp", Codes: connections(2), Bytes: 100, Reporters: "source"}
	server := metrics.Call{To: "a/db/v1", Host: "db.a", Protocol: "tcp", Codes: connections(2.1), Bytes: 105, Reporters: "destination"}
	g := read(t, metrics.New(t, []metrics.Call{client, server}), graph.Workload)
	if len(g.Edges) != 1 || len(g.Nodes) != 2 || !near(node(t, g, "workload:a/db-v1@laptop").In.Connections, 2) || g.Edges[0].Traffic.MTLS == nil || *g.Edges[0].Traffic.MTLS != 1 {
		t.Error(list(g))
	}
	server.Codes = connections(5)
	g = read(t, metrics.New(t, []metrics.Call{client, server}), graph.Workload)
	if len(g.Edges) != 2 || !near(edge(t, g, "unknown", "db-v1").Traffic.Connections, 3) || !near(node(t, g, "workload:a/db-v1@laptop").In.Connections, 5) {
		t.Error(list(g))
	}
}

// A proxy that does not know the other's cluster means the same workload.
func TestUnknownCluster(t *testing.T) {
	m := func(cluster string) *model.Sample {
		return &model.Sample{Value: 1, Metric: model.Metric{"reporter": "source", "source_workload": "a", "source_workload_namespace": "n", "source_cluster": "east",
			"destination_workload": "b", "destination_workload_namespace": "n", "destination_cluster": model.LabelValue(cluster), "response_code": "200"}}
	}
	g := graph.Build(&graph.Samples{Requests: model.Vector{m("unknown"), m("west")}}, graph.Options{Type: graph.Workload})
	if len(g.Nodes) != 2 || node(t, g, "workload:n/b@west").In.Rate != 2 {
		t.Error(list(g))
	}
}

func TestSameSamplesSameBytes(t *testing.T) {
	s := big(60, 300)
	o := graph.Options{Type: graph.App, Time: time.Unix(1, 0), Window: time.Minute}
	want, _ := json.Marshal(graph.Build(s, o))
	for i := range uint64(20) {
		r := rand.New(rand.NewPCG(i, 1))
		r.Shuffle(len(s.Requests), func(a, b int) { s.Requests[a], s.Requests[b] = s.Requests[b], s.Requests[a] })
		if got, _ := json.Marshal(graph.Build(s, o)); !bytes.Equal(got, want) {
			t.Fatalf("order %d gives another graph", i)
		}
	}
}

type broken struct{}

func (broken) Query(context.Context, string, time.Time, ...promv1.Option) (model.Value, promv1.Warnings, promv1.Infos, error) {
	return nil, nil, nil, errors.New("connection refused")
}

func TestReadTellsWhatFailed(t *testing.T) {
	if _, err := graph.Read(context.Background(), broken{}, graph.Options{}); err == nil || err.Error() != "ask the metrics for the graph: connection refused" {
		t.Error(err)
	}
	if _, err := graph.ParseType("pods"); err == nil || !strings.Contains(err.Error(), "versionedApp") {
		t.Error(err)
	}
}

// big is a mesh of so many workloads and edges, told by both sides.
func big(nodes, edges int) *graph.Samples {
	var s graph.Samples
	for i := range edges {
		from, to := i%nodes, (i*7+i/nodes+1)%nodes
		for _, reporter := range []string{"source", "destination"} {
			l := model.Metric{"reporter": model.LabelValue(reporter), "request_protocol": "http"}
			for side, n := range map[string]int{"source": from, "destination": to} {
				l[model.LabelName(side+"_workload")] = model.LabelValue(fmt.Sprintf("w%d-v%d", n, n%3))
				l[model.LabelName(side+"_workload_namespace")] = model.LabelValue(fmt.Sprintf("n%d", n%20))
				l[model.LabelName(side+"_canonical_service")] = model.LabelValue(fmt.Sprintf("w%d", n/3))
				l[model.LabelName(side+"_canonical_revision")] = model.LabelValue(fmt.Sprintf("v%d", n%3))
				l[model.LabelName(side+"_cluster")] = "east"
			}
			l["destination_service_name"], l["destination_service_namespace"] = l["destination_canonical_service"], l["destination_workload_namespace"]
			for q := range s.Edges {
				s.Edges[q] = append(s.Edges[q], &model.Sample{Metric: l, Value: model.SampleValue(10 * (q + 1))})
			}
			for _, code := range []model.LabelValue{"200", "404", "503"} {
				m := l.Clone()
				m["response_code"], m["response_flags"], m["connection_security_policy"] = code, "-", "mutual_tls"
				s.Requests = append(s.Requests, &model.Sample{Metric: m, Value: model.SampleValue(.1 * float64(i%17))})
			}
		}
	}
	return &s
}

func BenchmarkBuild(b *testing.B) {
	s := big(1000, 5000)
	for _, t := range graph.Types {
		b.Run(string(t), func(b *testing.B) {
			for b.Loop() {
				graph.Build(s, graph.Options{Type: t, Window: time.Minute})
			}
		})
	}
}

// Of a large graph durations are left out, and that is told.
func TestLargeGraphsHaveNoDurations(t *testing.T) {
	g, err := graph.Read(t.Context(), metrics.New(t, metrics.Large()), graph.Options{Type: graph.Workload, Window: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	if len(g.Nodes) != 1000 || len(g.Edges) != 5000 || len(g.Warnings) != 1 || g.Edges[0].Traffic.P50 != nil {
		t.Errorf("%d nodes, %d edges, %v", len(g.Nodes), len(g.Edges), g.Warnings)
	}
}
