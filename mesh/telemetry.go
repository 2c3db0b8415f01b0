package mesh

import "time"

// Telemetry is one Telemetry object: what proxies tell of the requests and connections that they see.
type Telemetry struct {
	Origin  Ref
	Created time.Time
	// Selectors say which proxies of the namespace are meant, each by itself; none at all means all of the namespace, or of the mesh if it is the root namespace.
	Selectors []Labels
	// Gateways says that only gateways are meant (targetRefs).
	Gateways bool
	Logging  []LogRule
	Tracing  []TraceRule
	Metrics  []MetricRule
}

// Whole says that an object is for its namespace or for the mesh as a whole: the oldest such one of a namespace counts.
func (t *Telemetry) Whole() bool { return len(t.Selectors) == 0 && !t.Gateways }

// Side is the side of the traffic on which a proxy stands.
type Side uint8

// The sides: a gateway stands on the side of the client, as in Istio.
const (
	BothSides Side = iota
	ClientSide
	ServerSide
)

// Covers says whether what is said of a side is said of one side.
func (s Side) Covers(one Side) bool { return s == BothSides || s == one }

// LogRule is one entry of accessLogging.
type LogRule struct {
	Side      Side
	Providers []string // by name; none: those of what is above
	Disabled  bool
	Filter    string // an expression (package telemetry/attribute), "" keeps all
}

// MetricRule is one entry of metrics: what is to be different about Istio's standard metrics.
type MetricRule struct {
	Providers []string // by name; none: those of what is above
	Overrides []MetricOverride
	Interval  time.Duration // reportingInterval; 0 for nothing said
}

// MetricOverride is one entry of overrides.
type MetricOverride struct {
	Side     Side
	Metric   string // its name without istio_; "" for all
	Disabled Choice
	Tags     []MetricTag // ordered by name
}

// MetricTag is a label of a metric.
type MetricTag struct {
	Name   string
	Remove bool
	Value  string // an expression (CEL, with Envoy's attributes)
}

// TraceRule is one entry of tracing: what is not said stays as what is above says.
type TraceRule struct {
	Side      Side
	Provider  string // "" for none
	Disabled  Choice // disableSpanReporting
	Sampling  *float64
	Tags      []TraceTag // customTags, ordered by name; they take the place of those above
	RequestID Choice     // useRequestIdForTraceSampling
	IstioTags Choice
	NoContext Choice // disableContextPropagation
}

// TraceTag is a tag that is added to spans: of the kinds one is set.
type TraceTag struct {
	Name        string
	Kind        TagKind
	Value       string // of a literal, the name of a header or variable, or a format
	Alternative string // of a header or variable that is not there
}

// TagKind is where a tag's value comes from.
type TagKind uint8

// The kinds.
const (
	TagLiteral TagKind = iota
	TagHeader
	TagVariable // of the proxy's environment
	TagFormat   // with the operators of access logs
)
