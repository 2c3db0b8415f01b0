package filter

import (
	"strings"

	statsv1 "istio.io/api/envoy/extensions/stats"

	"github.com/heddle-mesh/heddle/control/compile/message"
	"github.com/heddle-mesh/heddle/control/compile/view"
	"github.com/heddle-mesh/heddle/mesh"
	"github.com/heddle-mesh/heddle/telemetry/attribute"
)

// statsName is the filter of Istio's standard metrics.
const statsName = "istio.stats"

// metrics is what is different about the standard metrics for a proxy that counts by itself, nil for nothing.
func metrics(v *view.View, side mesh.Side, tcp bool) *statsv1.PluginConfig {
	o, every, from := v.Metrics(side, tcp)
	if o.Empty() && every == 0 {
		return nil
	}
	tell := func(message, hint string) {
		for _, ref := range from {
			v.Notice(mesh.Problem{Object: ref, Field: "spec.metrics", Code: mesh.CodeNotEnforced, Message: message, Hint: hint})
		}
	}
	if !v.Can(mesh.FeatureMetrics) {
		if v.Kind() != mesh.Proxyless {
			tell("some connected proxies have Istio's standard metrics alone", "upgrade them")
		}
		return nil
	}
	out := &statsv1.PluginConfig{TcpReportingDuration: message.Set(every)}
	for _, m := range o.Metrics {
		out.Metrics = append(out.Metrics, &statsv1.MetricConfig{Name: m.Name, Drop: m.Drop, TagsToRemove: m.Remove, Dimensions: m.Dimensions})
	}
	for _, text := range o.Expressions() {
		uses, _ := attribute.Uses(text) // one that cannot be read was told then
		if unknown := attribute.UnknownToHeddle(uses); len(unknown) > 0 {
			tell("heddle-proxy does not know "+strings.Join(unknown, " and ")+", so the label has the value unknown there", "use another attribute, or run the workload with stock Envoy")
		}
	}
	return out
}
