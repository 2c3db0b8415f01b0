package serve

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/heddle-mesh/heddle/mesh"
	"github.com/heddle-mesh/heddle/xds"
	"github.com/heddle-mesh/heddle/xds/session"
)

// Metrics counts what the server does, under the names that Istio's dashboards and alerts use. A nil *Metrics counts nothing.
type Metrics struct {
	clients                  *prometheus.GaugeVec
	pushes, rejects, stale   *prometheus.CounterVec
	rejectsBy                map[string]*prometheus.GaugeVec
	pushTime, sendTime, size *prometheus.HistogramVec
	convergence              prometheus.Histogram
	change                   *prometheus.HistogramVec
}

// NewMetrics registers the metrics.
func NewMetrics(r prometheus.Registerer) *Metrics {
	slow := []float64{.1, .5, 1, 3, 5, 10, 20, 30}
	push := []float64{.001, .01, .1, 1, 3, 5, 10, 20, 30}
	m := &Metrics{
		clients:     prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "pilot_xds", Help: "Number of endpoints connected to this pilot using XDS."}, []string{"version"}),
		pushes:      prometheus.NewCounterVec(prometheus.CounterOpts{Name: "pilot_xds_pushes", Help: "Responses sent, by type."}, []string{"type"}),
		rejects:     prometheus.NewCounterVec(prometheus.CounterOpts{Name: "pilot_total_xds_rejects", Help: "Responses that proxies refused, by type."}, []string{"type"}),
		stale:       prometheus.NewCounterVec(prometheus.CounterOpts{Name: "pilot_xds_expired_nonce", Help: "Requests with a nonce that is not open."}, []string{"type"}),
		pushTime:    prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "pilot_xds_push_time", Help: "Seconds to make one response.", Buckets: push}, []string{"type"}),
		sendTime:    prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "pilot_xds_send_time", Help: "Seconds to hand one response to the transport.", Buckets: push}, []string{"type"}),
		size:        prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "pilot_xds_config_size_bytes", Help: "Bytes of the resources in one response.", Buckets: []float64{1, 10_000, 1e6, 4e6, 1e7, 4e7}}, []string{"type"}),
		convergence: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "pilot_proxy_convergence_time", Help: "Seconds from a change to the last response that one proxy gets because of it.", Buckets: slow}),
		change: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "heddle_change_seconds", Help: "Seconds from hearing of a change to a stage of its way, per proxy.",
			Buckets: []float64{.005, .01, .025, .05, .1, .15, .25, .5, 1, 2.5, 5, 10, 30}}, []string{"stage"}),
		rejectsBy: map[string]*prometheus.GaugeVec{},
	}
	r.MustRegister(m.clients, m.pushes, m.rejects, m.stale, m.pushTime, m.sendTime, m.size, m.convergence, m.change)
	for _, url := range []string{xds.Cluster, xds.Endpoints, xds.Listener, xds.Route, xds.VirtualHost, xds.Secret} {
		short := xds.ShortType(url)
		g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "pilot_xds_" + short + "_reject", Help: "Responses of this type that a connected proxy refused."}, []string{"node"})
		r.MustRegister(g)
		m.rejectsBy[url] = g
	}
	return m
}

// typeLabel keeps the label's values few: a client may ask for any type.
func typeLabel(url string) string {
	switch url {
	case xds.Cluster, xds.Endpoints, xds.Listener, xds.Route, xds.VirtualHost, xds.Secret, xds.Extension, xds.NameTable:
		return xds.ShortType(url)
	}
	return "other"
}

func (m *Metrics) connected(p *mesh.Proxy, n float64) {
	if m == nil {
		return
	}
	m.clients.WithLabelValues(version(p)).Add(n)
	if n < 0 {
		for _, g := range m.rejectsBy {
			g.DeleteLabelValues(p.ID)
		}
	}
}

// version is the label of pilot_xds.
func version(p *mesh.Proxy) string {
	if v := p.Metadata["ISTIO_VERSION"]; v != "" {
		return v
	}
	return p.Build
}

func (m *Metrics) built(url string, d time.Duration) {
	if m != nil {
		m.pushTime.WithLabelValues(typeLabel(url)).Observe(d.Seconds())
	}
}

func (m *Metrics) sent(r *session.Response, d time.Duration) {
	if m == nil {
		return
	}
	t := typeLabel(r.TypeURL)
	m.pushes.WithLabelValues(t).Inc()
	m.size.WithLabelValues(t).Observe(float64(r.Size))
	m.sendTime.WithLabelValues(t).Observe(d.Seconds())
}

func (m *Metrics) rejected(url string, p *mesh.Proxy) {
	if m == nil {
		return
	}
	m.rejects.WithLabelValues(typeLabel(url)).Inc()
	if g := m.rejectsBy[url]; g != nil {
		g.WithLabelValues(p.ID).Inc()
	}
}

func (m *Metrics) expired(url string) {
	if m != nil {
		m.stale.WithLabelValues(typeLabel(url)).Inc()
	}
}

func (m *Metrics) converged(d time.Duration) {
	if m != nil {
		m.convergence.Observe(d.Seconds())
		m.change.WithLabelValues("sent").Observe(d.Seconds())
	}
}

func (m *Metrics) acknowledged(d time.Duration) {
	if m != nil {
		m.change.WithLabelValues("acknowledged").Observe(d.Seconds())
	}
}
