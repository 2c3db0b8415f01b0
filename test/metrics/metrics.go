// Package metrics is a Prometheus in memory that holds what proxies would have told: Prometheus' own engine over series made from a list of calls.
//
// In: calls between workloads. Out: a graph.Source, so that expressions are asked and not only written. It is for tests.
package metrics

import (
	"context"
	"fmt"
	"sort"
	"strings"
	"testing"
	"time"

	promv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/util/teststorage"
)

// Call is what one workload asks another, at a steady pace.
type Call struct {
	From, To  string             // NAMESPACE/APP/VERSION; "" is not known
	Host      string             // SERVICE.NAMESPACE, "" for none
	Protocol  string             // http (also for ""), grpc or tcp
	Codes     map[string]float64 // requests a second by CODE, or CODE/GRPC for grpc; for tcp the rate of connections by anything
	Flags     map[string]string  // response flags by code
	Latency   time.Duration      // of each request; below 0 none is told
	Plain     bool               // without mutual TLS
	Reporters string             // source, destination, or both (also for "")
	Bytes     float64            // each way, a request or (tcp) a second
	Ago       time.Duration      // the calls began so long before the end; 0 is from the start on
}

// Every is how often the series were scraped, Until the last time.
const (
	Every = 5 * time.Second
	Until = 10 * time.Minute
)

// Source holds the series of calls.
type Source struct {
	storage *teststorage.TestStorage
	engine  *promql.Engine
}

// New loads the series of calls.
func New(t testing.TB, calls []Call) *Source {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "load %s\n", Every)
	for _, c := range calls {
		c.series(&b)
	}
	return &Source{promqltest.LoadedStorage(t, b.String()), promqltest.NewTestEngine(t, false, 0, 5_000_000)}
}

// moment is a time of the clock in the time of the series, which end now. What is before them, or never was, is their end.
func moment(at time.Time) time.Time {
	ago := time.Since(at)
	if ago < Every || ago > Until {
		ago = 0
	}
	return time.Unix(0, 0).Add(Until - ago)
}

// Query asks as of a moment of the last Until; any other is the end of the series.
func (s *Source) Query(ctx context.Context, expression string, at time.Time, _ ...promv1.Option) (model.Value, promv1.Warnings, promv1.Infos, error) {
	q, err := s.engine.NewInstantQuery(ctx, s.storage, nil, expression, moment(at))
	if err != nil {
		return nil, nil, nil, err
	}
	defer q.Close()
	r := q.Exec(ctx)
	if r.Err != nil {
		return nil, nil, nil, r.Err
	}
	vector, err := r.Vector()
	if err != nil {
		return nil, nil, nil, err
	}
	out := model.Vector{}
	for _, x := range vector {
		out = append(out, &model.Sample{Metric: metric(x.Metric), Value: model.SampleValue(x.F), Timestamp: model.Time(x.T)})
	}
	return out, nil, nil, nil
}

// QueryRange asks over a time, which is moved so that it ends with the series.
func (s *Source) QueryRange(ctx context.Context, expression string, r promv1.Range, _ ...promv1.Option) (model.Value, promv1.Warnings, promv1.Infos, error) {
	shift := r.End.Sub(time.Unix(0, 0).Add(Until))
	q, err := s.engine.NewRangeQuery(ctx, s.storage, nil, expression, r.Start.Add(-shift), r.End.Add(-shift), r.Step)
	if err != nil {
		return nil, nil, nil, err
	}
	defer q.Close()
	result := q.Exec(ctx)
	if result.Err != nil {
		return nil, nil, nil, result.Err
	}
	matrix, err := result.Matrix()
	if err != nil {
		return nil, nil, nil, err
	}
	out := model.Matrix{}
	for _, x := range matrix {
		stream := &model.SampleStream{Metric: metric(x.Metric)}
		for _, p := range x.Floats {
			stream.Values = append(stream.Values, model.SamplePair{Timestamp: model.TimeFromUnixNano(time.UnixMilli(p.T).Add(shift).UnixNano()), Value: model.SampleValue(p.F)})
		}
		out = append(out, stream)
	}
	return out, nil, nil, nil
}

func metric(l labels.Labels) model.Metric {
	out := model.Metric{}
	for name, value := range l.Map() {
		out[model.LabelName(name)] = model.LabelValue(value)
	}
	return out
}

// buckets are Istio's, in milliseconds.
var buckets = []float64{0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000, 600000, 1800000, 3600000}

func (c Call) series(b *strings.Builder) {
	reporters := []string{"source", "destination"}
	if c.Reporters == "source" || c.Reporters == "destination" {
		reporters = []string{c.Reporters}
	}
	keys := make([]string, 0, len(c.Codes))
	for k := range c.Codes {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, reporter := range reporters {
		for _, key := range keys {
			c.write(b, reporter, key, c.Codes[key])
		}
	}
}

func (c Call) write(b *strings.Builder, reporter, key string, rate float64) {
	l := map[string]string{"reporter": reporter, "connection_security_policy": "unknown", "response_flags": "-", "request_protocol": "http"}
	if reporter == "destination" {
		l["connection_security_policy"] = "mutual_tls"
		if c.Plain {
			l["connection_security_policy"] = "none"
		}
	}
	workload(l, "source", c.From)
	workload(l, "destination", c.To)
	l["destination_service"], l["destination_service_name"], l["destination_service_namespace"] = "unknown", "unknown", "unknown"
	if name, namespace, ok := strings.Cut(c.Host, "."); ok {
		l["destination_service"], l["destination_service_name"], l["destination_service_namespace"] = c.Host+".svc.cluster.local", name, namespace
	}
	if f := c.Flags[key]; f != "" {
		l["response_flags"] = f
	}
	line := func(metric string, rate float64, more ...string) {
		names := make([]string, 0, len(l))
		for n := range l {
			names = append(names, n)
		}
		sort.Strings(names)
		var labels []string
		for _, n := range names {
			labels = append(labels, fmt.Sprintf("%s=%q", n, l[n]))
		}
		labels = append(labels, more...)
		steps, before := int(Until/Every), ""
		if c.Ago > 0 {
			steps = int(c.Ago / Every)
			before = fmt.Sprintf("_x%d ", int(Until/Every)-steps)
		}
		fmt.Fprintf(b, "  %s{%s} %s0+%gx%d\n", metric, strings.Join(labels, ","), before, rate*Every.Seconds(), steps)
	}
	if c.Protocol == "tcp" {
		l["request_protocol"] = "tcp"
		line("istio_tcp_connections_opened_total", rate)
		line("istio_tcp_sent_bytes_total", c.Bytes)
		line("istio_tcp_received_bytes_total", c.Bytes)
		return
	}
	code, status, _ := strings.Cut(key, "/")
	l["response_code"], l["grpc_response_status"] = code, status
	if c.Protocol != "" {
		l["request_protocol"] = c.Protocol
	}
	line("istio_requests_total", rate)
	line("istio_request_bytes_sum", rate*c.Bytes)
	line("istio_response_bytes_sum", rate*c.Bytes)
	if c.Latency < 0 {
		return
	}
	for _, le := range buckets {
		n := 0.0
		if float64(c.Latency)/1e6 <= le {
			n = rate
		}
		line("istio_request_duration_milliseconds_bucket", n, fmt.Sprintf("le=%q", fmt.Sprint(le)))
	}
	line("istio_request_duration_milliseconds_bucket", rate, `le="+Inf"`)
}

func workload(l map[string]string, side, name string) {
	for _, n := range []string{"_workload", "_workload_namespace", "_cluster", "_canonical_service", "_canonical_revision"} {
		l[side+n] = "unknown"
	}
	parts := strings.Split(name, "/")
	if len(parts) != 3 {
		return
	}
	l[side+"_workload"], l[side+"_workload_namespace"], l[side+"_cluster"] = parts[1]+"-"+parts[2], parts[0], "laptop"
	l[side+"_canonical_service"], l[side+"_canonical_revision"] = parts[1], parts[2]
}

// Large is a mesh of 1,000 workloads in 20 namespaces with 5,000 calls between them, some of which fail.
func Large() []Call {
	name := func(i int) string { i %= 1000; return fmt.Sprintf("n%d/w%d/v1", i%20, i) }
	out := make([]Call, 0, 5000)
	for i := range 5000 {
		to := i*7 + i/1000 + 1
		c := Call{From: name(i), To: name(to), Host: fmt.Sprintf("w%d.n%d", to%1000, to%20), Codes: map[string]float64{"200": 2}, Latency: -1, Bytes: 100}
		if to%1000 == 17 {
			c.Codes = map[string]float64{"200": 1, "503": 1}
		}
		out = append(out, c)
	}
	return out
}

// Shop is the sample shop while every third call of checkout fails: pricing is slow, payment fails a little, one path is plain text, and for four minutes there is a second catalog.
func Shop() []Call {
	ok := func(rate float64) map[string]float64 { return map[string]float64{"200": rate} }
	return []Call{
		{To: "istio-system/ingress/v1", Host: "ingress.istio-system", Codes: map[string]float64{"200": 4.4, "502": .6}, Latency: 130 * time.Millisecond, Plain: true, Reporters: "destination", Bytes: 900},
		{From: "istio-system/ingress/v1", To: "shop/web/v1", Host: "web.shop", Codes: map[string]float64{"200": 4.4, "502": .6}, Latency: 128 * time.Millisecond, Bytes: 900},
		{From: "shop/web/v1", To: "shop/catalog/v1", Host: "catalog.shop", Codes: ok(3), Latency: 122 * time.Millisecond, Bytes: 600},
		{From: "shop/web/v1", To: "shop/catalog/v2", Host: "catalog.shop", Codes: ok(.4), Latency: 2 * time.Millisecond, Bytes: 600, Ago: 4 * time.Minute},
		{From: "shop/catalog/v1", To: "shop/pricing/v1", Host: "pricing.shop", Codes: ok(3), Latency: 120 * time.Millisecond, Bytes: 200},
		{From: "shop/web/v1", To: "shop/cart/v1", Host: "cart.shop", Codes: map[string]float64{"200": 4.9, "404": .1}, Latency: 2 * time.Millisecond, Plain: true, Bytes: 300},
		{From: "shop/web/v1", To: "shop/checkout/v1", Host: "checkout.shop", Codes: map[string]float64{"200": 1.1, "503": .6}, Flags: map[string]string{"503": "URX"}, Latency: 8 * time.Millisecond, Bytes: 300},
		{From: "shop/checkout/v1", To: "shop/payment/v1", Host: "payment.shop", Codes: map[string]float64{"200": 1.6, "503": .08}, Latency: 4 * time.Millisecond, Bytes: 250},
		{From: "shop/payment/v1", To: "shop/ledger/v1", Host: "ledger.shop", Protocol: "tcp", Codes: map[string]float64{"open": 1.6}, Bytes: 120},
		{From: "shop/checkout/v1", To: "", Host: "mail.shop", Codes: map[string]float64{"503": .05}, Flags: map[string]string{"503": "UH"}, Reporters: "source"},
		{From: "shop/web/v1", To: "shop/audit/v1", Host: "audit.shop", Codes: ok(0), Bytes: 10},
		{From: "shop/checkout/v1", To: "shop/stock/v1", Host: "stock.shop", Protocol: "grpc", Codes: map[string]float64{"200/0": 1.5, "200/14": .02}, Latency: 3 * time.Millisecond, Bytes: 80},
	}
}
