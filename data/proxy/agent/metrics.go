package agent

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"regexp"

	"github.com/heddle-mesh/heddle/data/proxy/agent/tally"
	"github.com/heddle-mesh/heddle/data/proxy/report"
	"github.com/heddle-mesh/heddle/data/proxy/stats"
	"github.com/heddle-mesh/heddle/telemetry"
)

// metaEntries tells heddled that the agent counts what Envoy tells on the cluster sds-grpc.
const metaEntries = "HEDDLE_ENTRIES"

// largestPage bounds Envoy's page of metrics.
const largestPage = 256 << 20

// metrics are Istio's standard metrics of a stock Envoy, which has no filter for them.
type metrics struct {
	registry *stats.Registry
	tally    *tally.Service
	// environment is what Envoy says of its workload to others of the mesh.
	environment []string
}

func newMetrics(o *Options) (*metrics, error) {
	w, registry := &o.Workload, stats.New()
	own := report.Own(w.Name, w.Namespace, w.ClusterID, w.Labels)
	text, err := report.Introduction(own)
	if err != nil {
		return nil, err
	}
	n, err := w.Node()
	if err != nil {
		return nil, err
	}
	return &metrics{
		registry: registry, tally: tally.New(report.New(own, registry, []*stats.Shard{registry.NewShard()})),
		environment: []string{telemetry.PeerVariable + "=" + text, telemetry.PeerIDVariable + "=" + n.GetId()},
	}, nil
}

// page is Envoy's /stats/prometheus with the standard metrics behind it; the query filter is for both.
func (m *metrics) page(envoy http.RoundTripper) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		filter, err := regexp.Compile(r.URL.Query().Get("filter"))
		if err != nil {
			http.Error(w, "filter: "+err.Error(), http.StatusBadRequest)
			return
		}
		own, err := fetch(r, envoy)
		if err != nil {
			http.Error(w, "Envoy does not answer: "+err.Error(), http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		_, _ = w.Write(own)                                                                                 // the reader is gone otherwise
		_ = m.registry.WritePrometheus(w, func(s *stats.Sample) bool { return filter.MatchString(s.Name) }) // the same
	}
}

// fetch is Envoy's own page.
func fetch(r *http.Request, envoy http.RoundTripper) ([]byte, error) {
	ask, err := http.NewRequestWithContext(r.Context(), http.MethodGet, "http://envoy/stats/prometheus?"+r.URL.RawQuery, nil)
	if err != nil {
		return nil, err
	}
	answer, err := envoy.RoundTrip(ask)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }() // it was read
	body, err := io.ReadAll(io.LimitReader(answer.Body, largestPage))
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", answer.Status, bytes.TrimSpace(body))
	}
	return body, err
}
