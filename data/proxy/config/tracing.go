package config

import "time"

// Tracing is HttpConnectionManager.Tracing.
type Tracing struct {
	// Client, Random and Overall are client_sampling, random_sampling and overall_sampling, of ten thousand.
	Client, Random, Overall uint32
	MaxPath                 int // bytes of the path in the tag http.url
	Tags                    []TraceTag
	SpawnUpstream           bool // a span for each try (spawn_upstream_span)
	NoContext               bool // the next hops are not told (no_context_propagation)
	// Provider is where spans go to; nil: no spans are made, and no contexts are passed on.
	Provider *TraceProvider
}

// TraceTag is a custom tag: the value of a request header, if Header is set and the request has it, else Value, else nothing; or, if Format is set, what that makes of the exchange.
type TraceTag struct {
	Name, Header, Value string
	Format              any // an *accesslog.Format, which this package does not know
}

// TraceProvider is envoy.config.trace.v3.OpenTelemetryConfig or ZipkinConfig.
type TraceProvider struct {
	Cluster string
	Timeout time.Duration
	// GRPC is OTLP over gRPC; otherwise Path and Host are of the requests.
	GRPC       bool
	Path, Host string
	Headers    []TraceHeader // of OTLP
	// Of OTLP.
	Service string // service_name
	MaxHeld int    // spans that wait (max_cache_size)
	// Resource are attributes from the proxy's environment (OTEL_RESOURCE_ATTRIBUTES).
	Resource []TraceHeader
	// Zipkin is Zipkin's format instead of OTLP.
	Zipkin    bool
	LongIDs   bool // trace_id_128bit
	SharedIDs bool // shared_span_context
	W3C       bool // W3C's headers go beside B3's, and are read where those are not there
}

// TraceHeader is a header of the requests to a receiver.
type TraceHeader struct{ Name, Value string }
