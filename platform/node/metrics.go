package node

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics count what the agent does.
type metrics struct {
	pods     *prometheus.CounterVec
	repaired *prometheus.CounterVec
	rewrites prometheus.Counter
	way      *prometheus.GaugeVec
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		pods:     prometheus.NewCounterVec(prometheus.CounterOpts{Name: "heddle_node_pods_total", Help: "Pods that the CNI plug-in asked for, by what came of it: the way of capture, skipped, failed or unknown."}, []string{"result"}),
		repaired: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "heddle_node_uncaptured_pods_total", Help: "Pods that started without capture, by what was done: deleted, labelled, none or failed."}, []string{"action"}),
		rewrites: prometheus.NewCounter(prometheus.CounterOpts{Name: "heddle_node_rewrites_total", Help: "Times that somebody changed the network configuration or the plug-in, and it was put back."}),
	}
	m.way = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "heddle_node_way", Help: "1 for the way by which the pod that started last is captured."}, []string{"way"})
	r.MustRegister(m.pods, m.repaired, m.rewrites, m.way)
	return m
}

// captures notes the way of capture in force.
func (m *metrics) captures(way string) {
	m.way.Reset()
	m.way.WithLabelValues(way).Set(1)
}

func (m *metrics) placed(again bool) {
	if again {
		m.rewrites.Inc()
	}
}

func (*metrics) handler(r *prometheus.Registry) http.Handler {
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{})
}
