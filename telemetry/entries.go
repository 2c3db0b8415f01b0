package telemetry

// What a stock Envoy is asked to say in an entry for its access log service (envoy.service.accesslog.v3), so that its traffic is counted as that of other proxies. Envoy writes a dash for what it
// does not know.
const (
	// EntriesInbound and EntriesOutbound are the names of the logs, by the side of the workload.
	EntriesInbound  = "istio-inbound"
	EntriesOutbound = "istio-outbound"

	TagServices        = "services"         // the services of the cluster as JSON (metadata istio.services)
	TagWorkload        = "workload"         // the endpoint's (metadata istio.workload)
	TagPeer            = "peer"             // what the other side said of itself, as the header has it
	TagDownstreamPeer  = "downstream.peer"  // the SPIFFE ID that the client proved
	TagDownstreamLocal = "downstream.local" // the one that was shown to it
	TagUpstreamPeer    = "upstream.peer"
	TagUpstreamLocal   = "upstream.local"
	TagFlags           = "flags" // response flags, comma separated
	TagContentType     = "content-type"
	TagGRPCStatus      = "grpc-status" // its number
	TagMilliseconds    = "ms"          // the duration
)

// PeerMetadata is the dynamic metadata under which Envoy keeps what the other side said of itself.
const (
	PeerNamespace = "heddle.peer"
	PeerKey       = "metadata"
)

// PeerVariable and PeerIDVariable are the environment variables from which Envoy takes what it says of itself.
const (
	PeerVariable   = "HEDDLE_PEER_METADATA"
	PeerIDVariable = "HEDDLE_PEER_ID"
)
