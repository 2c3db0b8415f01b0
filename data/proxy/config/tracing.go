package config

import "time"

// Tracing is HttpConnectionManager.Tracing.
type Tracing struct {
	// Client, Random and Overall are client_sampling, random_sampling and overall_sampling, of ten thousand.
	Client, Random, Overall uint32
	MaxPath                 int // bytes of the path in the tag http.url
	Tags                    []TraceTag
	SpawnUpstream           bool // a span for each try (spawn_upstream_span)
	// Provider is where spans go to; nil: no spans are made, and no contexts are passed on.
	Provider *TraceProvider
}

// TraceTag is a custom tag: the value of a request header, if Header is set and the request has it, else Value, else nothing.
type TraceTag struct{ Name, Header, Value string }

// TraceProvider is envoy.config.trace.v3.OpenTelemetryConfig or ZipkinConfig.
type TraceProvider struct {
	Cluster string
	Timeout time.Duration
	// GRPC is OTLP over gRPC; otherwise Path and Host are of the requests.
	GRPC       bool
	Path, Host string
	Headers    []TraceHeader // of OTLP over HTTP
	// Of OTLP.
	Service string // service_name
	MaxHeld int    // spans that wait (max_cache_size)
	// Zipkin is Zipkin's format instead of OTLP.
	Zipkin    bool
	LongIDs   bool // trace_id_128bit
	SharedIDs bool // shared_span_context
}

// TraceHeader is a header of the requests to a receiver.
type TraceHeader struct{ Name, Value string }
