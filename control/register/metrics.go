package register

import "github.com/prometheus/client_golang/prometheus"

// Metrics count under the names of Istio's. A nil Metrics counts nothing.
type Metrics struct{ success, update, unregister, delete, errors prometheus.Counter }

// NewMetrics registers the counters.
func NewMetrics(r prometheus.Registerer) *Metrics {
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: "auto_registration_" + name + "_total", Help: help})
		r.MustRegister(c)
		return c
	}
	return &Metrics{
		success: counter("success", "WorkloadEntries made for proxies."), update: counter("updates", "WorkloadEntries that a proxy took that came back."),
		unregister: counter("unregister", "Proxies with an entry that left."), delete: counter("deletes", "WorkloadEntries removed after their proxy left."),
		errors: counter("errors", "Registrations that were refused, and writes that failed."),
	}
}

func (m *Metrics) registered() { m.count(func(m *Metrics) prometheus.Counter { return m.success }) }
func (m *Metrics) updated()    { m.count(func(m *Metrics) prometheus.Counter { return m.update }) }
func (m *Metrics) unregistered() {
	m.count(func(m *Metrics) prometheus.Counter { return m.unregister })
}
func (m *Metrics) deleted() { m.count(func(m *Metrics) prometheus.Counter { return m.delete }) }
func (m *Metrics) failed()  { m.count(func(m *Metrics) prometheus.Counter { return m.errors }) }

func (m *Metrics) count(of func(*Metrics) prometheus.Counter) {
	if m != nil {
		of(m).Inc()
	}
}
