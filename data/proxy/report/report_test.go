package report

import (
	"strings"
	"testing"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
	"github.com/heddle-mesh/heddle/data/proxy/stats"
	"github.com/heddle-mesh/heddle/data/proxy/tcp"
)

var own = Own("web-v1", "shop", "Kubernetes", map[string]string{"app": "web", "version": "v1"})

func reporter() (*Reporter, *stats.Registry) {
	registry := stats.New()
	return New(own, registry, []*stats.Shard{registry.NewShard()}), registry
}

func text(t *testing.T, r *stats.Registry) string {
	t.Helper()
	var b strings.Builder
	if err := r.WritePrometheus(&b, nil); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// line finds the sample of a metric and gives its labels as a map, with the value under "".
func line(t *testing.T, page, metric string) map[string]string {
	t.Helper()
	for l := range strings.Lines(page) {
		rest, ok := strings.CutPrefix(l, metric+"{")
		if !ok {
			continue
		}
		labels, value, _ := strings.Cut(rest, "} ")
		out := map[string]string{"": strings.TrimSpace(value)}
		for pair := range strings.SplitSeq(labels, "\",") {
			k, v, _ := strings.Cut(pair, "=\"")
			out[k] = strings.TrimSuffix(v, "\"")
		}
		return out
	}
	t.Fatalf("%s is not in\n%s", metric, page)
	return nil
}

func expect(t *testing.T, got, want map[string]string) {
	t.Helper()
	for k, v := range want {
		if got[k] != v {
			t.Errorf("%s = %q, want %q (of %v)", k, got[k], v, got)
		}
	}
}

func TestOutboundRequest(t *testing.T) {
	r, registry := reporter()
	f := Facts{
		Direction: config.Outbound, Code: 503, Flags: "UF,URX", Cluster: "outbound|80|v1|reviews", Endpoint: "reviews-v1;shop;reviews;v1;Kubernetes",
		Service:  config.ClusterTelemetry{Service: "reviews.shop.svc.cluster.local", ServiceName: "reviews", ServiceNamespace: "shop"},
		SourceID: "spiffe://cluster.local/ns/shop/sa/web", DestinationID: "spiffe://cluster.local/ns/shop/sa/reviews",
	}
	r.Request(0, &f, 12*time.Millisecond, 300, 2000)
	r.Request(0, &f, 13*time.Millisecond, 300, 2000)
	got := line(t, text(t, registry), "istio_requests_total")
	expect(t, got, map[string]string{
		"": "2", "reporter": "source", "source_workload": "web-v1", "source_app": "web", "source_canonical_service": "web", "source_canonical_revision": "v1", "source_principal": f.SourceID,
		"destination_workload": "reviews-v1", "destination_canonical_service": "reviews", "destination_service": "reviews.shop.svc.cluster.local", "destination_service_name": "reviews",
		"destination_cluster": "Kubernetes", "request_protocol": "http", "response_code": "503", "response_flags": "UF,URX", "connection_security_policy": "unknown", "grpc_response_status": "",
	})
	if len(got) != 26 {
		t.Errorf("%d labels, want 25", len(got)-1)
	}
	expect(t, line(t, text(t, registry), "istio_request_duration_milliseconds_sum"), map[string]string{"": "25"})
	expect(t, line(t, text(t, registry), "istio_response_bytes_count"), map[string]string{"": "2"})
}

func TestInboundRequest(t *testing.T) {
	r, registry := reporter()
	r.Request(0, &Facts{Direction: config.Inbound, Code: 200, Mutual: true, SourceID: "spiffe://cluster.local/ns/front/sa/gateway", GRPC: true, Status: "0"}, 0, 1, 1)
	expect(t, line(t, text(t, registry), "istio_requests_total"), map[string]string{
		"reporter": "destination", "destination_workload": "web-v1", "source_workload": "unknown", "source_workload_namespace": "front", "connection_security_policy": "mutual_tls",
		"request_protocol": "grpc", "grpc_response_status": "0", "response_flags": "-", "destination_service_namespace": "shop",
	})
}

// TestMessages: what is known only at the end is no label of messages, which are told while a stream goes on.
func TestMessages(t *testing.T) {
	r, registry := reporter()
	f := Facts{Direction: config.Inbound, GRPC: true, Messages: true, Mutual: true, SourceID: "spiffe://cluster.local/ns/front/sa/gateway"}
	r.Messages(0, &f, 3, 40)
	r.Messages(0, &f, 0, 2)
	page := text(t, registry)
	for metric, value := range map[string]string{"istio_request_messages_total": "3", "istio_response_messages_total": "42"} {
		got := line(t, page, metric)
		expect(t, got, map[string]string{"": value, "request_protocol": "grpc", "reporter": "destination", "source_workload_namespace": "front", "connection_security_policy": "mutual_tls"})
		for _, late := range []string{"response_code", "response_flags", "grpc_response_status"} {
			if v, ok := got[late]; ok {
				t.Errorf("%s has the label %s=%q", metric, late, v)
			}
		}
	}
}

func TestConnection(t *testing.T) {
	r, registry := reporter()
	f := Facts{Direction: config.Outbound, TCP: true, Cluster: "PassthroughCluster"}
	r.Opened(0, &f)
	r.Moved(0, &f, 10, 20)
	r.Moved(0, &f, 1, 2)
	r.Closed(0, &f)
	page := text(t, registry)
	for metric, value := range map[string]string{"istio_tcp_connections_opened_total": "1", "istio_tcp_connections_closed_total": "1", "istio_tcp_received_bytes_total": "11", "istio_tcp_sent_bytes_total": "22"} {
		got := line(t, page, metric)
		expect(t, got, map[string]string{"": value, "request_protocol": "tcp", "destination_service_name": "PassthroughCluster", "destination_workload": "unknown"})
		if len(got) != 24 {
			t.Errorf("%s: %d labels, want 23", metric, len(got)-1)
		}
	}
	if strings.Contains(page, "istio_requests_total") {
		t.Error("a connection made series of requests")
	}
}

func TestRememberedCombinationsAreBounded(t *testing.T) {
	r, _ := reporter()
	for i := range maxRemembered + 10 {
		r.Request(0, &Facts{Code: i}, 0, 0, 0)
	}
	if n := len(r.workers[0].series); n > maxRemembered {
		t.Errorf("%d combinations", n)
	}
}

func TestConnectionRecord(t *testing.T) {
	a := (&Connections{}).record(&tcp.Record{
		Downstream: &loop.Origin{Restored: true, ServerName: "x", TLS: &loop.TLSState{Peer: &loop.Peer{URIs: []string{"spiffe://a"}, Subject: "s"}}},
		Upstream:   tcp.Upstream{Endpoint: &config.Endpoint{Path: "/run/x"}}, Flags: "UF", Received: 3, Duration: time.Second,
	}, time.Unix(10, 0))
	if a.Start != time.Unix(9, 0) || a.UpstreamHost.Path != "/run/x" || a.PeerURI != "spiffe://a" || a.ServerName != "x" || a.Received != 3 {
		t.Errorf("%+v", a)
	}
}

var _ tcp.Observer = (*Connections)(nil)
