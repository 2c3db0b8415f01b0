package codec

// Underscores says what becomes of a request with an underscore in a field's name, which some servers take for a hyphen.
type Underscores uint8

// What may become of it.
const (
	AllowUnderscores Underscores = iota
	RejectUnderscores
	DropUnderscores // the field alone
)

// Names of the fields that the proxy reads or writes by itself.
var (
	Connection       = MakeName("connection")
	ContentLength    = MakeName("content-length")
	ContentType      = MakeName("content-type")
	Date             = MakeName("date")
	SetCookie        = MakeName("set-cookie")
	Expect           = MakeName("expect")
	Host             = MakeName("host")
	HTTP2Settings    = MakeName("http2-settings")
	KeepAlive        = MakeName("keep-alive")
	Location         = MakeName("location")
	ProxyConnection  = MakeName("proxy-connection")
	Server           = MakeName("server")
	TE               = MakeName("te")
	TransferEncoding = MakeName("transfer-encoding")
	Trailer          = MakeName("trailer")
	Upgrade          = MakeName("upgrade")
	UserAgent        = MakeName("user-agent")
	Via              = MakeName("via")

	ForwardedClientCert = MakeName("x-forwarded-client-cert")
	ForwardedFor        = MakeName("x-forwarded-for")
	ForwardedHost       = MakeName("x-forwarded-host")
	ForwardedPort       = MakeName("x-forwarded-port")
	ForwardedProto      = MakeName("x-forwarded-proto")
	RequestID           = MakeName("x-request-id")

	GRPCTimeout = MakeName("grpc-timeout")
	GRPCStatus  = MakeName("grpc-status")
	GRPCMessage = MakeName("grpc-message")

	EnvoyAttemptCount        = MakeName("x-envoy-attempt-count")
	EnvoyDecoratorOperation  = MakeName("x-envoy-decorator-operation")
	EnvoyDownstreamCluster   = MakeName("x-envoy-downstream-service-cluster")
	EnvoyDownstreamNode      = MakeName("x-envoy-downstream-service-node")
	EnvoyExpectedTimeout     = MakeName("x-envoy-expected-rq-timeout-ms")
	EnvoyExternalAddress     = MakeName("x-envoy-external-address")
	EnvoyForceTrace          = MakeName("x-envoy-force-trace")
	EnvoyImmediateFail       = MakeName("x-envoy-immediate-health-check-fail")
	EnvoyInternal            = MakeName("x-envoy-internal")
	EnvoyIPTags              = MakeName("x-envoy-ip-tags")
	EnvoyMaxRetries          = MakeName("x-envoy-max-retries")
	EnvoyOriginalHost        = MakeName("x-envoy-original-host")
	EnvoyOriginalPath        = MakeName("x-envoy-original-path")
	EnvoyOverloaded          = MakeName("x-envoy-overloaded")
	EnvoyPeerMetadata        = MakeName("x-envoy-peer-metadata")
	EnvoyPeerMetadataID      = MakeName("x-envoy-peer-metadata-id")
	EnvoyRateLimited         = MakeName("x-envoy-ratelimited")
	EnvoyRetriableCodes      = MakeName("x-envoy-retriable-status-codes")
	EnvoyRetriableHeaders    = MakeName("x-envoy-retriable-header-names")
	EnvoyRetryGRPCOn         = MakeName("x-envoy-retry-grpc-on")
	EnvoyRetryOn             = MakeName("x-envoy-retry-on")
	EnvoyStreamDuration      = MakeName("x-envoy-upstream-stream-duration-ms")
	EnvoyTimeout             = MakeName("x-envoy-upstream-rq-timeout-ms")
	EnvoyTimeoutAltResponse  = MakeName("x-envoy-upstream-rq-timeout-alt-response")
	EnvoyTryTimeout          = MakeName("x-envoy-upstream-rq-per-try-timeout-ms")
	EnvoyAltStat             = MakeName("x-envoy-upstream-alt-stat-name")
	EnvoyHedgeOnTryTimeout   = MakeName("x-envoy-hedge-on-per-try-timeout")
	EnvoyUpstreamServiceTime = MakeName("x-envoy-upstream-service-time")
)
