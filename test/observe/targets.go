package main

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// edges is how many pairs of workloads a proxy has metrics of, each with a counter and three histograms.
const edges = 15

// bounds are those of Istio's histograms.
var bounds = strings.Fields("0.5 1 5 10 25 50 100 250 500 1000 2500 5000 10000 30000 60000 300000 600000 1800000 3600000 +Inf")

// perTarget is how many series a target has.
var perTarget = edges * (1 + 3*(len(bounds)+2))

// target is one proxy's page of metrics, as heddle-proxy and Istio's Envoy write it: all of Istio's labels, and every value grows.
type target struct {
	before  [][]byte // what is before each value
	scrapes atomic.Int64
	sent    atomic.Int64
}

func newTarget(number int) *target {
	t := &target{}
	var text bytes.Buffer
	value := func() {
		t.before = append(t.before, bytes.Clone(text.Bytes()))
		text.Reset()
	}
	head := func(name, kind string) { fmt.Fprintf(&text, "\n# TYPE %s %s", name, kind) }
	head("istio_requests_total", "counter")
	for e := range edges {
		fmt.Fprintf(&text, "\nistio_requests_total{%s} ", labels(number, e))
		value()
	}
	for _, name := range []string{"istio_request_duration_milliseconds", "istio_request_bytes", "istio_response_bytes"} {
		head(name, "histogram")
		for e := range edges {
			l := labels(number, e)
			for _, b := range bounds {
				fmt.Fprintf(&text, "\n%s_bucket{%s,le=%q} ", name, l, b)
				value()
			}
			for _, part := range []string{"sum", "count"} {
				fmt.Fprintf(&text, "\n%s_%s{%s} ", name, part, l)
				value()
			}
		}
	}
	return t
}

// labels are Istio's for requests of the workload to another one.
func labels(number, e int) string {
	from, to := fmt.Sprintf("service-%d", number), fmt.Sprintf("service-%d", (number+e*7+1)%250)
	return fmt.Sprintf(`reporter="source",source_workload="%[1]s-v1",source_canonical_service="%[1]s",source_canonical_revision="v1",source_workload_namespace="shop",`+
		`source_principal="spiffe://cluster.local/ns/shop/sa/%[1]s",source_app="%[1]s",source_version="v1",source_cluster="Kubernetes",destination_workload="%[2]s-v1",`+
		`destination_workload_namespace="shop",destination_principal="spiffe://cluster.local/ns/shop/sa/%[2]s",destination_app="%[2]s",destination_version="v1",destination_service="%[2]s.shop.svc.cluster.local",`+
		`destination_canonical_service="%[2]s",destination_canonical_revision="v1",destination_service_name="%[2]s",destination_service_namespace="shop",destination_cluster="Kubernetes",`+
		`request_protocol="http",response_code="200",grpc_response_status="",response_flags="-",connection_security_policy="unknown"`, from, to)
}

// ServeHTTP gives the page; each series has grown by something of its own since the last time.
func (t *target) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	n := t.scrapes.Add(1)
	var page bytes.Buffer
	page.Grow(int(t.sent.Load()) + 1024)
	for i, b := range t.before {
		page.Write(b)
		fmt.Fprintf(&page, "%d", n*int64(50+i%97)+int64(i))
	}
	page.WriteByte('\n')
	t.sent.Store(int64(page.Len()))
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	_, _ = w.Write(page.Bytes()[1:]) // the reader is gone otherwise
}

// serve gives each target a path on one address.
func serve(n int) (address string, all []*target, err error) {
	mux := http.NewServeMux()
	for i := range n {
		all = append(all, newTarget(i))
		mux.Handle(fmt.Sprintf("/%d/stats/prometheus", i), all[i])
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, fmt.Errorf("serve targets: %w", err)
	}
	go func() { _ = (&http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}).Serve(l) }()
	return l.Addr().String(), all, nil
}
