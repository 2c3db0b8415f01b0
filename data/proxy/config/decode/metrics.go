package decode

import (
	"maps"
	"slices"

	statsv1 "istio.io/api/envoy/extensions/stats"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/telemetry"
	cel "github.com/heddle-mesh/heddle/telemetry/attribute"
)

// metrics reads Istio's configuration of its standard metrics.
func (r *read) metrics(path string, m *statsv1.PluginConfig) *config.Metrics {
	out := &config.Metrics{Interval: r.duration(path+".tcp_reporting_duration", m.GetTcpReportingDuration(), 0)}
	var o telemetry.Overrides
	for i, c := range m.GetMetrics() {
		if c.GetMatch() != "" {
			r.add(at(path, "metrics", i)+".match", "what is counted cannot be chosen by an expression")
		}
		for _, name := range slices.Sorted(maps.Keys(c.GetDimensions())) {
			if _, err := cel.Parse(c.GetDimensions()[name]); err != nil {
				r.add(at(path, "metrics", i)+".dimensions", "%s: %v", name, err)
			}
		}
		o.Metrics = append(o.Metrics, telemetry.Override{Name: c.GetName(), Drop: c.GetDrop(), Remove: c.GetTagsToRemove(), Dimensions: c.GetDimensions()})
	}
	if out.Plan = telemetry.NewPlan(o); out.Plan == nil {
		return out
	}
	for _, text := range out.Plan.Expressions {
		e, _ := cel.Parse(text) // that it cannot be read was said
		out.Expressions = append(out.Expressions, e)
	}
	return out
}
