package interop_test

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthgrpc "google.golang.org/grpc/health/grpc_health_v1"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// metricsScript is traffic of every kind that has series of its own.
const metricsScript = `Traffic of every kind.
-- meshconfig.yaml --
outboundTrafficPolicy: {mode: REGISTRY_ONLY}
-- mesh.yaml --
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: health, namespace: default}
spec: {hosts: [health.default.svc.cluster.local], addresses: [10.96.0.30], location: MESH_INTERNAL, resolution: STATIC, ports: [{name: grpc, number: 7070, protocol: GRPC}], workloadSelector: {labels: {app: server}}}
---
{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: front, namespace: default}, spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [shop.example.com]}]}}
---
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: shop, namespace: default}, spec: {hosts: [shop.example.com], gateways: [front], http: [{route: [{destination: {host: server, port: {number: 8080}}}]}]}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews, namespace: default}
spec: {hosts: [reviews], http: [{match: [{uri: {prefix: /sorry}}], fault: {abort: {httpStatus: 418, percentage: {value: 100}}}, route: [{destination: {host: reviews, subset: v1}}]}, {route: [{destination: {host: reviews, subset: v1}}]}]}
-- requests.txt --
> GET http://server:8080/ok
< 200
* 7

> POST http://server:8080/long
> body: twelve bytes
< 200
* 3

> GET http://server:8080/broken
> x-echo-status: 503
< 503
* 2

> POST http://server:8080/message
> content-type: application/grpc
< 200
> GET http://reviews:8080/plain
< 200
* 5

> GET http://reviews:8080/sorry
< 418
* 2

> GET http://nobody.test:8080/unknown @10.96.0.10
< 502
> GET http://shop.example.com/in @10.78.3.1 from outsider
< 200
* 4

> CONNECT tcp://server:9000
< greeted
* 6

> CONNECT tcp://reviews:9000
< greeted
> GET http://server6.default.svc.cluster.local:8080/six @fd00:96::20
< 200
`

// telemetryScript is some of it, with metrics that are other than Istio's.
const telemetryScript = `Metrics that a Telemetry has made others.
-- mesh.yaml --
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: others, namespace: default}
spec:
  metrics:
  - overrides:
    - {match: {mode: SERVER}, tagOverrides: {request_method: {value: request.method}, user: {value: 'request.headers["x-user"]'}}}
    - {match: {mode: SERVER, metric: TCP_CLOSED_CONNECTIONS}, tagOverrides: {sni: {value: connection.requested_server_name}}}
    - {match: {mode: CLIENT, metric: REQUEST_DURATION}, disabled: true}
    - match: {mode: CLIENT, metric: REQUEST_COUNT}
      tagOverrides:
        response_flags: {operation: REMOVE}
        request_host: {value: request.host}
        destination_port: {value: string(destination.port)}
        route: {value: xds.route_name}
        cluster: {value: xds.cluster_name}
        direction: {value: xds.listener_direction}
        path: {value: request.url_path}
        query: {value: request.query}
        protocol: {value: request.protocol}
        code: {value: response.code}
        details: {value: response.code_details}
        answer: {value: 'response.headers["content-type"]'}
        absent: {value: 'response.headers["x-absent"]'}
        big: {value: 'request.size > 10 ? "yes" : "no"'}
        status: {value: response.grpc_status}
        mtls: {value: connection.mtls}
        upstream: {value: upstream.port}
        peer: {value: upstream.uri_san_peer_certificate}
        tries: {value: upstream.request_attempt_count}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: health, namespace: default}
spec: {hosts: [health.default.svc.cluster.local], addresses: [10.96.0.30], location: MESH_INTERNAL, resolution: STATIC, ports: [{name: grpc, number: 7070, protocol: GRPC}], workloadSelector: {labels: {app: server}}}
-- requests.txt --
> GET http://server:8080/ok?a=b
< 200
* 2

> POST http://server:8080/long
> x-user: anna
> body: more than ten bytes
< 200
> GET http://server:8080/six @fd00:96::20
> x-echo-status: 404
< 404
* 2
> CONNECT tcp://server:9000
< greeted
`

// serveHealth has the server answer gRPC, and callHealth calls it: 3 answers, and one that there is no such service.
func serveHealth(w *world) {
	g := grpc.NewServer()
	healthgrpc.RegisterHealthServer(g, health.NewServer())
	l := w.hosts["server"].Listen("tcp", "[::]:7070")
	go g.Serve(l) // ends with the test
	w.t.Cleanup(g.Stop)
}

func callHealth(t *testing.T, w *world) {
	t.Helper()
	c, err := grpc.NewClient("passthrough:///10.96.0.30:7070", grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithContextDialer(func(ctx context.Context, at string) (net.Conn, error) {
		return w.hosts["client"].Dial(ctx, "tcp", at)
	}))
	must(t, err)
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, service := range []string{"", "", "", "nobody"} {
		if _, err := healthgrpc.NewHealthClient(c).Check(ctx, &healthgrpc.HealthCheckRequest{Service: service}); (err != nil) != (service != "") {
			t.Errorf("health of %q: %v", service, err)
		}
	}
}

// series is a metric with its labels but for those that cannot be alike.
type series struct {
	count uint64 // of a counter, or of a histogram's values
	sum   float64
}

// metricsOf are Istio's standard metrics as a proxy tells them, by their names and labels.
func metricsOf(w *world, proxy string) (map[string]series, error) {
	code, text := w.admin(proxy, "/stats/prometheus?filter=^istio_")
	if code != http.StatusOK {
		return nil, fmt.Errorf("status %d", code)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	out := map[string]series{}
	for name, f := range families {
		if name == "istio_build" {
			continue
		}
		for _, m := range f.Metric {
			labels := make([]string, len(m.Label))
			for i, l := range m.Label {
				labels[i] = l.GetName() + "=" + strconv.Quote(l.GetValue())
			}
			s := series{count: uint64(m.GetCounter().GetValue())}
			if f.GetType() == dto.MetricType_HISTOGRAM {
				s = series{m.GetHistogram().GetSampleCount(), m.GetHistogram().GetSampleSum()}
			}
			out[name+"{"+strings.Join(labels, ",")+"}"] = s
		}
	}
	return out, err
}

// total adds up the counts of the series of a metric that have all of some labels.
func total(all map[string]series, metric string, labels ...string) (n uint64) {
	for name, s := range all {
		if strings.HasPrefix(name, metric+"{") && !slices.ContainsFunc(labels, func(l string) bool { return !strings.Contains(name, l) }) {
			n += s.count
		}
	}
	return n
}

// TestMetrics sends the same traffic through both data planes and demands the same series of Istio's standard metrics, with counts that are the truth.
func TestMetrics(t *testing.T) {
	f := parse(t, "metrics", []byte(metricsScript))
	compareMetrics(t, &f, func(told map[string]map[string]series) bool {
		return total(told["client"], "istio_tcp_connections_closed_total") == 7 && total(told["client"], "istio_requests_total") == 26 &&
			total(told["server"], "istio_requests_total") == 22 && total(told["server"], "istio_tcp_connections_closed_total") == 6 && total(told["gateway"], "istio_requests_total") == 4
	}, truth)
}

// TestMetricsOfTelemetry is the same with metrics that a Telemetry has made others.
func TestMetricsOfTelemetry(t *testing.T) {
	f := parse(t, "metrics", []byte(telemetryScript))
	compareMetrics(t, &f, func(told map[string]map[string]series) bool {
		return total(told["client"], "istio_tcp_connections_closed_total") == 1 && total(told["client"], "istio_requests_total") == 9 &&
			total(told["server"], "istio_requests_total") == 9 && total(told["server"], "istio_tcp_connections_closed_total") == 1
	}, func(t *testing.T, told map[string]map[string]series) {
		for _, want := range []struct {
			proxy, metric string
			labels        []string
			count         uint64
		}{
			{"client", "istio_requests_total", []string{`request_host="server:8080"`, `destination_port="8080"`, `big="no"`}, 4},
			{"client", "istio_requests_total", []string{`response_flags=`}, 0},
			{"client", "istio_request_duration_milliseconds", nil, 0},
			{"server", "istio_requests_total", []string{`request_method="POST"`, `user="anna"`}, 1},
			{"server", "istio_requests_total", []string{`request_method="GET"`, `user="unknown"`}, 4},
			{"server", "istio_tcp_connections_closed_total", []string{`request_method="unknown"`, `sni="outbound_.9000_._.server.default.svc.cluster.local"`}, 1},
		} {
			if got := total(told[want.proxy], want.metric, want.labels...); got != want.count {
				t.Errorf("%s: %s%v counts %d, want %d", want.proxy, want.metric, want.labels, got, want.count)
			}
		}
	})
}

// compareMetrics runs a fixture in a world of its own on each data plane, waits until all is counted, and compares.
func compareMetrics(t *testing.T, f *fixture, counted func(map[string]map[string]series) bool, truth func(*testing.T, map[string]map[string]series)) {
	t.Helper()
	var mu sync.Mutex
	got := map[string]map[string]map[string]series{} // by plane and proxy
	t.Run("planes", func(t *testing.T) {
		for _, plane := range planes {
			t.Run(plane, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, plane, f.meshConfig)
				serveHealth(w)
				r := &run{world: w, t: t, f: f, held: held{map[string]*http.Transport{}, nil}}
				r.all()
				r.held.close()
				callHealth(t, w)
				told := map[string]map[string]series{}
				t.Cleanup(func() { showCounts(t, told) })
				w.until(t, "all that ended is counted", func() bool {
					for _, proxy := range proxied {
						all, err := metricsOf(w, proxy)
						if err != nil {
							return false
						}
						told[proxy] = all
					}
					return counted(told)
				})
				truth(t, told)
				mu.Lock()
				defer mu.Unlock()
				got[plane] = told
			})
		}
	})
	if len(got) < 2 {
		return
	}
	for _, proxy := range proxied {
		ours, theirs := got["heddle-proxy"][proxy], got["envoy"][proxy]
		for _, name := range slices.Sorted(maps.Keys(ours)) {
			if their, ok := theirs[name]; !ok || !alike(name, ours[name], their) {
				t.Errorf("%s: heddle-proxy has %s %v, Envoy %v", proxy, name, ours[name], their)
			}
		}
		for _, name := range slices.Sorted(maps.Keys(theirs)) {
			if _, ok := ours[name]; !ok {
				t.Errorf("%s: Envoy alone has %s %v", proxy, name, theirs[name])
			}
		}
	}
}

// showCounts tells what was counted where a test fails.
func showCounts(t *testing.T, told map[string]map[string]series) {
	for _, proxy := range proxied {
		for _, name := range slices.Sorted(maps.Keys(told[proxy])) {
			if t.Failed() && strings.Contains(name, "_total") {
				t.Logf("%s has %s %d", proxy, name, told[proxy][name].count)
			}
		}
	}
}

// measured are metrics whose sums depend on more than the traffic: the clock, and how long the headers are that a data plane adds.
var measured = regexp.MustCompile(`^istio_(request_duration_milliseconds|request_bytes|response_bytes|tcp_)`)

func alike(name string, a, b series) bool {
	if strings.HasPrefix(name, "istio_tcp_sent") || strings.HasPrefix(name, "istio_tcp_received") || !measured.MatchString(name) {
		return a == b
	}
	return a.count == b.count
}

func truth(t *testing.T, told map[string]map[string]series) {
	for _, want := range []struct {
		proxy, metric string
		labels        []string
		count         uint64
	}{
		{"client", "istio_requests_total", []string{`destination_service="server.default.svc.cluster.local"`, `response_code="200"`, `reporter="source"`, `request_protocol="http"`}, 10},
		{"client", "istio_requests_total", []string{`destination_service="server.default.svc.cluster.local"`, `response_code="503"`}, 2},
		{"client", "istio_requests_total", []string{`request_protocol="grpc"`, `grpc_response_status="0"`, `destination_service_name="health"`}, 3},
		{"client", "istio_requests_total", []string{`request_protocol="grpc"`, `grpc_response_status="5"`}, 1},
		{"client", "istio_request_messages_total", []string{`destination_service_name="health"`}, 4},
		{"client", "istio_response_messages_total", []string{`destination_service_name="health"`}, 3},
		{"server", "istio_request_messages_total", []string{`source_workload="client"`, `destination_service_name="health"`}, 4},
		{"client", "istio_requests_total", []string{`destination_service="reviews.default.svc.cluster.local"`, `response_code="418"`, `response_flags="FI"`}, 2},
		{"client", "istio_requests_total", []string{`destination_service="reviews.default.svc.cluster.local"`, `response_code="200"`, `response_flags="-"`}, 5},
		{"client", "istio_request_duration_milliseconds", []string{`destination_workload="server"`}, 18},
		{"client", "istio_request_bytes", []string{`destination_workload="server"`}, 18},
		{"client", "istio_tcp_connections_opened_total", []string{`destination_workload="server"`}, 6},
		{"server", "istio_requests_total", []string{`reporter="destination"`, `source_workload="client"`, `source_principal="spiffe://cluster.local/ns/default/sa/client"`, `connection_security_policy="mutual_tls"`}, 18},
		{"server", "istio_requests_total", []string{`source_workload="gateway"`}, 4},
		{"server", "istio_tcp_connections_opened_total", []string{`source_principal="spiffe://cluster.local/ns/default/sa/client"`}, 6},
		{"gateway", "istio_requests_total", []string{`destination_service="server.default.svc.cluster.local"`, `destination_workload="server"`}, 4},
	} {
		if got := total(told[want.proxy], want.metric, want.labels...); got != want.count {
			t.Errorf("%s: %s%v counts %d, want %d", want.proxy, want.metric, want.labels, got, want.count)
		}
	}
}
