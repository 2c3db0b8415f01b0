package istio

import (
	"fmt"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/mesh"
	names "github.com/heddle-mesh/heddle/telemetry"
	"github.com/heddle-mesh/heddle/telemetry/attribute"
	"google.golang.org/protobuf/types/known/wrapperspb"
	telemetry "istio.io/api/telemetry/v1alpha1"
)

// telemetryFields are the fields of Telemetry that have an effect.
var telemetryFields = api.Fields("selector.matchLabels", "targetRef.*", "targetRefs[].*", "accessLogging[].match.mode", "accessLogging[].providers[].name", "accessLogging[].disabled", "accessLogging[].filter.expression",
	"tracing[].match.mode", "tracing[].providers[].name", "tracing[].randomSamplingPercentage", "tracing[].disableSpanReporting", "tracing[].customTags[].*", "tracing[].useRequestIdForTraceSampling",
	"tracing[].enableIstioTags", "tracing[].disableContextPropagation", "metrics[].providers[].name", "metrics[].overrides[].*", "metrics[].reportingInterval")

// trafficSides are the modes, by their number.
var trafficSides = map[telemetry.WorkloadMode]mesh.Side{telemetry.WorkloadMode_CLIENT: mesh.ClientSide, telemetry.WorkloadMode_SERVER: mesh.ServerSide}

// Telemetry gives what proxies tell of requests and connections.
func Telemetry(o api.Object, in Lookup) (*mesh.Telemetry, []mesh.Problem) {
	spec, ok := o.Spec.(*telemetry.Telemetry)
	if !ok {
		return nil, nil
	}
	v := open(o, in)
	v.check(telemetryFields, nil)
	t := &mesh.Telemetry{Origin: o.Ref(), Created: o.Meta.Created}
	aimed := v.aim(t, spec)
	for i, l := range spec.AccessLogging {
		t.Logging = append(t.Logging, v.logging(l, at("spec.accessLogging", i)))
	}
	for i, x := range spec.Tracing {
		t.Tracing = append(t.Tracing, v.tracing(x, at("spec.tracing", i)))
	}
	for i, m := range spec.Metrics {
		t.Metrics = append(t.Metrics, v.metrics(m, at("spec.metrics", i)))
	}
	if v.Broken() || !aimed {
		return nil, v.Problems()
	}
	return t, v.Problems()
}

// aim reads which proxies are meant; false says that none can be.
func (v *visit) aim(t *mesh.Telemetry, spec *telemetry.Telemetry) bool {
	if labels := spec.GetSelector().GetMatchLabels(); len(labels) > 0 {
		t.Selectors = []mesh.Labels{labels}
	}
	named := 0
	look := func(labels mesh.Labels) {
		if named++; labels != nil {
			t.Gateways, t.Selectors = true, append(t.Selectors, labels)
		}
	}
	if spec.TargetRef != nil {
		look(v.target(spec.TargetRef, "spec.targetRef"))
	}
	for i, r := range spec.TargetRefs {
		look(v.target(r, at("spec.targetRefs", i)))
	}
	if named > 0 && spec.Selector != nil {
		v.Invalid("spec.selector", "only one of selector and targetRefs may be given")
	}
	return named == 0 || len(t.Selectors) > 0
}

func (v *visit) logging(l *telemetry.AccessLogging, path string) mesh.LogRule {
	r := mesh.LogRule{Side: trafficSides[l.GetMatch().GetMode()], Disabled: l.GetDisabled().GetValue(), Filter: l.GetFilter().GetExpression()}
	if r.Filter != "" {
		if _, err := attribute.Parse(r.Filter); err != nil {
			v.Invalid(path+".filter.expression", "%v", err)
		}
	}
	for i, p := range l.GetProviders() {
		field := fmt.Sprintf("%s.providers[%d].name", path, i)
		switch x := v.provider(p.GetName(), field); {
		case x == nil:
		case !x.Logs():
			v.NotEnforced(field, "%s is a provider that takes no access log", p.GetName())
		}
		r.Providers = append(r.Providers, p.GetName())
	}
	return r
}

func (v *visit) tracing(x *telemetry.Tracing, path string) mesh.TraceRule {
	r := mesh.TraceRule{
		Side: trafficSides[x.GetMatch().GetMode()], Disabled: said(x.GetDisableSpanReporting()), RequestID: said(x.GetUseRequestIdForTraceSampling()),
		IstioTags: said(x.GetEnableIstioTags()), NoContext: said(x.GetDisableContextPropagation()),
	}
	for i, p := range x.GetProviders() {
		field := fmt.Sprintf("%s.providers[%d].name", path, i)
		if i > 0 {
			v.NotEnforced(field, "spans go to one provider, the first")
			continue
		}
		r.Provider = p.GetName()
		if found := v.provider(r.Provider, field); found != nil && found.Traces == nil {
			v.NotEnforced(field, "%s is a provider that takes no spans, so none are sent", r.Provider)
		}
	}
	if p := x.GetRandomSamplingPercentage(); p != nil {
		r.Sampling = &p.Value
	}
	for _, name := range sorted(x.GetCustomTags()) {
		r.Tags = append(r.Tags, v.tag(name, x.CustomTags[name], keyed(path+".customTags", name)))
	}
	return r
}

// tag reads a tag of spans.
func (v *visit) tag(name string, x *telemetry.Tracing_CustomTag, path string) mesh.TraceTag {
	t := mesh.TraceTag{Name: name}
	if name == "" {
		v.Invalid(path, "the tag has no name")
	}
	switch k := x.GetType().(type) {
	case *telemetry.Tracing_CustomTag_Literal:
		t.Value = k.Literal.GetValue()
	case *telemetry.Tracing_CustomTag_Environment:
		t.Kind, t.Value, t.Alternative = mesh.TagVariable, k.Environment.GetName(), k.Environment.GetDefaultValue()
	case *telemetry.Tracing_CustomTag_Header:
		t.Kind, t.Value, t.Alternative = mesh.TagHeader, k.Header.GetName(), k.Header.GetDefaultValue()
		if !headerName(t.Value) {
			v.Invalid(path+".header.name", "%q is not the name of a header", shorten(t.Value))
		}
	case *telemetry.Tracing_CustomTag_Formatter:
		t.Kind, t.Value = mesh.TagFormat, k.Formatter.GetValue()
		if _, err := names.Operators(t.Value); err != nil {
			v.Invalid(path+".formatter.value", "%v", err)
		}
	default:
		v.Invalid(path, "want literal, environment, header or formatter")
	}
	return t
}

// said is a choice, or that there is none.
func said(b *wrapperspb.BoolValue) mesh.Choice {
	if b == nil {
		return mesh.Unsaid
	}
	return mesh.ChoiceOf(b.GetValue())
}

// provider finds a provider, and says when there is none.
func (v *visit) provider(name, field string) *mesh.Provider {
	p := v.in.Settings().Provider(name)
	if p == nil {
		v.NotFound(field, "name one of MeshConfig's extensionProviders", "there is no provider %q", shorten(name))
	}
	return p
}

// TelemetryConflicts tells of Telemetries that are each for the whole of a namespace, of which the oldest counts. list comes with the oldest first.
func TelemetryConflicts(list []*mesh.Telemetry) []mesh.Problem {
	keys := func(t *mesh.Telemetry) []string {
		if t.Whole() {
			return []string{"whole"}
		}
		return nil
	}
	return rivals(list, keys, func(t *mesh.Telemetry) mesh.Ref { return t.Origin }, "spec", "is for all workloads of the namespace",
		"give one of them a selector, or put both into one", "this object has")
}
