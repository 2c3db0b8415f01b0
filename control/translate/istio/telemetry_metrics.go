package istio

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"

	telemetry "istio.io/api/telemetry/v1alpha1"

	"github.com/heddle-mesh/heddle/mesh"
	"github.com/heddle-mesh/heddle/telemetry/attribute"
)

// metricNames are Istio's standard metrics, without istio_.
var metricNames = map[telemetry.MetricSelector_IstioMetric]string{
	telemetry.MetricSelector_REQUEST_COUNT: "requests_total", telemetry.MetricSelector_REQUEST_DURATION: "request_duration_milliseconds",
	telemetry.MetricSelector_REQUEST_SIZE: "request_bytes", telemetry.MetricSelector_RESPONSE_SIZE: "response_bytes",
	telemetry.MetricSelector_TCP_OPENED_CONNECTIONS: "tcp_connections_opened_total", telemetry.MetricSelector_TCP_CLOSED_CONNECTIONS: "tcp_connections_closed_total",
	telemetry.MetricSelector_TCP_SENT_BYTES: "tcp_sent_bytes_total", telemetry.MetricSelector_TCP_RECEIVED_BYTES: "tcp_received_bytes_total",
	telemetry.MetricSelector_GRPC_REQUEST_MESSAGES: "request_messages_total", telemetry.MetricSelector_GRPC_RESPONSE_MESSAGES: "response_messages_total",
}

// labelName is what Prometheus takes as the name of a label.
var labelName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)

const (
	// mostExpression bounds an expression, and mostTags how many labels one override changes.
	mostExpression = 1024
	mostTags       = 64
)

func (v *visit) metrics(m *telemetry.Metrics, path string) mesh.MetricRule {
	r := mesh.MetricRule{Interval: m.GetReportingInterval().AsDuration()}
	for i, p := range m.GetProviders() {
		field := fmt.Sprintf("%s.providers[%d].name", path, i)
		if x := v.provider(p.GetName(), field); x != nil && !x.Metrics {
			v.NotEnforced(field, "%s is a provider that takes no metrics", p.GetName())
		}
		r.Providers = append(r.Providers, p.GetName())
	}
	for i, o := range m.GetOverrides() {
		r.Overrides = append(r.Overrides, v.metricOverride(o, path+at(".overrides", i)))
	}
	return r
}

func (v *visit) metricOverride(o *telemetry.MetricsOverrides, path string) mesh.MetricOverride {
	out := mesh.MetricOverride{Side: trafficSides[o.GetMatch().GetMode()], Metric: metricNames[o.GetMatch().GetMetric()]}
	if name := o.GetMatch().GetCustomMetric(); name != "" {
		v.NotEnforced(path+".match.customMetric", "there are Istio's standard metrics alone, so nothing is called %s", shorten(name))
		out.Metric = name
	}
	if d := o.GetDisabled(); d != nil {
		out.Disabled = mesh.ChoiceOf(d.GetValue())
	}
	if len(o.GetTagOverrides()) > mostTags {
		v.Invalid(path+".tagOverrides", "at most %d labels can be changed", mostTags)
		return out
	}
	for _, name := range slices.Sorted(maps.Keys(o.GetTagOverrides())) {
		tag := o.GetTagOverrides()[name]
		field := path + ".tagOverrides[" + strconv.Quote(name) + "]"
		switch remove := tag.GetOperation() == telemetry.MetricsOverrides_TagOverride_REMOVE; {
		case !labelName.MatchString(name):
			v.Invalid(field, "%q is no name of a label: letters, digits and underscores", shorten(name))
		case !remove && tag.GetValue() == "":
			v.Invalid(field+".value", "an expression is needed, such as request.host")
		case len(tag.GetValue()) > mostExpression:
			v.Invalid(field+".value", "an expression has at most %d characters", mostExpression)
		case !remove && !v.expression(tag.GetValue(), field+".value"):
		default:
			out.Tags = append(out.Tags, mesh.MetricTag{Name: name, Remove: remove, Value: tag.GetValue()})
		}
	}
	return out
}

// expression says whether a text is an expression that a proxy can evaluate.
func (v *visit) expression(text, field string) bool {
	_, err := attribute.Parse(text)
	if err != nil {
		v.Invalid(field, "%s", err)
	}
	return err == nil
}
