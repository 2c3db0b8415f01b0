package config

import "time"

// HTTP is envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.
type HTTP struct {
	Stat string
	// Exactly one of RouteName (looked up in Config.Routes) and Inline.
	RouteName string
	RouteWait time.Duration // how long to wait for RouteName (initial_fetch_timeout); 0 for ever
	Inline    *RouteTable
	Filters   []Filter // in order, without the router and sessions
	Session   *Session // of routes that say nothing of it; nil: routes have no sessions, whatever they say

	ServerName   string
	ServerHeader ServerHeader
	// Client address.
	UseRemoteAddress      bool
	TrustedHops           uint32 // xff_num_trusted_hops
	SkipXFFAppend         bool
	AppendXFP             bool // append_x_forwarded_port
	InternalAddressConfig bool // private addresses count as internal
	// x-forwarded-client-cert.
	XFCC        XFCC
	XFCCDetails XFCCDetails
	// Request ids.
	GenerateRequestID     bool
	PreserveExternalID    bool
	AlwaysSetIDInResponse bool
	Proxy100Continue      bool
	// Paths.
	NormalizePath  bool
	MergeSlashes   bool
	EscapedSlashes EscapedSlashes
	StripAnyPort   bool
	StripMatchPort bool
	StripHostDot   bool
	// Limits and time-outs; 0 is none.
	MaxHeadBytes       int
	MaxFields          int
	Underscores        Underscores
	IdleTimeout        time.Duration
	MaxConnDuration    time.Duration
	StreamIdleTimeout  time.Duration
	RequestTimeout     time.Duration
	HeadersTimeout     time.Duration
	DrainTimeout       time.Duration
	MaxStreamDuration  time.Duration
	MaxRequestsPerConn uint32
	Upgrades           []string // lower case, such as "websocket"
	Codec              Codec
	Frames             Frames
	AcceptHTTP10       bool
	Trailers           bool   // enable_trailers: of requests in HTTP/1.1, and of responses whether or not the client asks for them
	DefaultHost        string // of a request in HTTP/1.0 without one
	AccessLogs         []AccessLog
	SuppressEnvoy      bool // no x-envoy-* from the router
	// Via, "" for none.
	Via string
	// Tracing is nil for none.
	Tracing *Tracing
	// AnyID: request ids decide nothing, so all is traced that the caller's context allows (use_request_id_for_trace_sampling is false).
	AnyID bool
}

// Underscores is headers_with_underscores_action.
type Underscores uint8

// The actions on requests with an underscore in a field's name.
const (
	AllowUnderscores Underscores = iota
	RejectUnderscores
	DropUnderscores
)

// Codec is codec_type.
type Codec uint8

// The codecs. AutoHTTP takes what ALPN agrees on, or what the first bytes say.
const (
	AutoHTTP Codec = iota
	HTTP1
	HTTP2
)

// Frames is envoy.config.core.v3.Http2ProtocolOptions; nil is Envoy's default.
type Frames struct {
	Streams        *uint32 // max_concurrent_streams
	StreamWindow   *uint32 // initial_stream_window_size, bytes
	ConnWindow     *uint32 // initial_connection_window_size, bytes
	TableSize      *uint32 // hpack_table_size, bytes
	Connect        bool    // allow_connect: extended CONNECT (RFC 8441)
	OutputFrames   *uint32 // max_outbound_frames
	ControlFrames  *uint32 // max_outbound_control_frames
	EmptyFrames    *uint32 // max_consecutive_inbound_frames_with_empty_payload
	PriorityFrames *uint32 // max_inbound_priority_frames_per_stream
	WindowUpdates  *uint32 // max_inbound_window_update_frames_per_data_frame_sent
	KeepAlive      *KeepAlive
}

// KeepAlive is envoy.config.core.v3.KeepaliveSettings.
type KeepAlive struct {
	Interval time.Duration // between the PINGs; 0: none of them
	Timeout  time.Duration // for an answer
	Jitter   float64       // interval_jitter, percent that an interval may be longer
	Idle     time.Duration // connection_idle_interval; 0: never
}

// ServerHeader is server_header_transformation.
type ServerHeader uint8

// The transformations.
const (
	Overwrite ServerHeader = iota
	AppendIfAbsent
	PassThrough
)

// XFCC is forward_client_cert_details.
type XFCC uint8

// The treatments of x-forwarded-client-cert.
const (
	Sanitize XFCC = iota
	ForwardOnly
	AppendForward
	SanitizeSet
	AlwaysForwardOnly
)

// XFCCDetails is set_current_client_cert_details.
type XFCCDetails struct{ Subject, Cert, Chain, DNS, URI bool }

// EscapedSlashes is path_with_escaped_slashes_action.
type EscapedSlashes uint8

// The actions on %2F and %5C in paths.
const (
	KeepEscaped EscapedSlashes = iota
	RejectEscaped
	UnescapeRedirect
	UnescapeForward
)

// Filter is one HTTP filter; exactly one field is set.
type Filter struct {
	Name    string
	RBAC    *RBAC
	Fault   *Fault
	CORS    bool // configured on routes
	GRPCWeb bool
	// Names looks up the host that a request names, where its cluster goes by it.
	Names *Names
	// GRPCStats counts calls of gRPC.
	GRPCStats *GRPCStats
	// Compressor compresses bodies.
	Compressor *Compressor
	// ExtAuthz asks a server about requests; Checks asks those that routes name (filter_chain).
	ExtAuthz *ExtAuthz
	Checks   bool
	// Telemetry emits Istio's request metrics (istio.stats), Metrics (nil for nothing) says what is different about them; PeerMetadata exchanges metadata by headers.
	Telemetry    bool
	Metrics      *Metrics
	PeerMetadata bool
}

// GRPCStats is envoy.extensions.filters.http.grpc_stats.v3.FilterConfig. Calls of other methods than those that are named are counted together.
type GRPCStats struct {
	All         bool                       // every method by its name
	Methods     map[string]map[string]bool // by service
	Upstream    bool                       // how long servers take
	Underscores bool                       // in place of the dots in a service's name
}

// Fault is envoy.extensions.filters.http.fault.v3.HTTPFault; as the filter's own configuration or of a route. Shares are of a million.
type Fault struct {
	DelayShare  uint32
	Delay       time.Duration
	AbortShare  uint32
	AbortStatus int
	AbortGRPC   int // gRPC status, -1: HTTP abort
	Headers     []HeaderMatch
	Upstream    string
	MaxActive   uint32 // 0: no limit
}
