// Package config holds the proxy's configuration as plain, immutable Go values: what listeners, routes and upstreams are, without any wire format.
//
// In: values that package decode builds from Envoy's resources. Out: one Config behind an atomic pointer, from which workers read without locks.
// Nothing here is changed once it is part of a published Config; a request keeps the parts that it uses for as long as it lasts.
package config

import (
	"crypto/x509"
	"net/netip"
	"time"
)

// Config is everything at one moment.
type Config struct {
	Listeners []*Listener
	Routes    map[string]*RouteTable // by route configuration name
	Clusters  map[string]*Cluster
}

// Direction is Envoy's traffic_direction.
type Direction uint8

// The directions; metrics are reported as the source outbound and as the destination inbound.
const (
	Unspecified Direction = iota
	Inbound
	Outbound
)

// Listener is an address with filter chains (envoy.config.listener.v3.Listener).
type Listener struct {
	Name      string
	Address   netip.AddrPort
	Path      string // unix socket instead of Address
	Extra     []netip.AddrPort
	Direction Direction
	// Bind false: it only takes connections that another listener hands on by their original destination.
	Bind           bool
	UseOriginalDst bool // hand connections on by their original destination
	Transparent    bool // IP_TRANSPARENT
	IPv4Compat     bool // an IPv6 wildcard takes IPv4 as well
	Inspect        Inspect
	Chains         []*Chain
	Default        *Chain
	AccessLogs     []AccessLog
	MaxConnections uint32 // 0: no limit
	BufferLimit    int    // bytes that a connection holds, see loop.Origin; 0: the default
	// Datagrams makes it a UDP listener: it has no chains then.
	Datagrams *Datagrams
}

// Datagrams is envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig with the sizes of its listener.
type Datagrams struct {
	Stat        string
	Cluster     string
	IdleTimeout time.Duration
	HashSource  bool // sessions of one source address keep to one endpoint
	// FromClients and FromServers are the longest datagrams that are taken, in bytes.
	FromClients, FromServers int
	AccessLogs               []AccessLog // of sessions, when they are over
}

// Inspect says what is looked at before a filter chain is chosen.
type Inspect struct {
	OriginalDst, TLS, HTTP bool
	// Timeout for the first bytes; 0 waits for ever. ContinueOnTimeout goes on with what is known then.
	Timeout           time.Duration
	ContinueOnTimeout bool
	// NoHTTPPorts and NoTLSPorts are original destination ports that are not inspected (server-first protocols).
	NoHTTPPorts, NoTLSPorts map[uint16]bool
	// KeepSource: hosts are called from the client's address, with SourceMark as SO_MARK.
	KeepSource bool
	SourceMark uint32
	// Proxy: a PROXY header comes first; nil for none.
	Proxy *ProxyHeader
}

// ProxyHeader is envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol.
type ProxyHeader struct {
	Optional   bool // connections without a header are served as they are
	NoV1, NoV2 bool // versions that are not taken
	Stat       string
	Pass       *TLVTypes // extensions that transports may pass on
}

// TLVTypes are types of extensions of a PROXY header; nil for none.
type TLVTypes struct {
	All  bool
	Some map[uint8]bool
}

// MaxTLVs is how many bytes of extensions a header has room for, whatever its addresses: its length has 16 bits, and those of IPv6 and the ports take 36.
const MaxTLVs = 1<<16 - 1 - 36

// ProxyTLVs are the extensions of the PROXY headers that are sent: of the client's some pass, if its listener lets them, and some are always added.
type ProxyTLVs struct {
	Pass  *TLVTypes
	Added []TLV
}

// TLV is an extension.
type TLV struct {
	Type  uint8
	Value []byte
}

// Chain is a filter chain: when it is taken, how its transport is secured, and what its bytes mean.
type Chain struct {
	Name  string
	Match ChainMatch
	TLS   *ServerTLS // nil: plain
	// RBAC runs first, on the connection.
	RBAC []*RBAC
	// Limits bound the connections of the chain.
	Limits []*ConnectionLimit
	HTTP   *HTTP // exactly one of HTTP and TCP
	TCP    *TCP
	// TransportTimeout bounds the handshake.
	TransportTimeout time.Duration
}

// ConnectionLimit is envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit.
type ConnectionLimit struct {
	Stat  string
	Max   uint64
	Delay time.Duration // how long a connection above it is left alone before it is closed
}

// ChainMatch is envoy.config.listener.v3.FilterChainMatch; empty fields match everything.
type ChainMatch struct {
	DestinationPort      uint16
	Prefixes             []netip.Prefix
	ServerNames          []string // lower case; "*.suffix" allowed
	TransportProtocol    string   // "", raw_buffer, tls
	ApplicationProtocols []string
	DirectSourcePrefixes []netip.Prefix
	SourceType           SourceType
	SourcePrefixes       []netip.Prefix
	SourcePorts          []uint16
}

// SourceType is FilterChainMatch.source_type.
type SourceType uint8

// The source types.
const (
	AnySource SourceType = iota
	SameHost
	External
)

// SecretRef names certificates: Name is the SDS name, and Local says that they are those of the workload itself, whose key never left the host.
type SecretRef struct {
	Name  string
	Local bool
	// Inline PEM instead of a name.
	Certificate, Key, Roots []byte
	// Revoked are lists of certificates that Roots vouch for no longer; with LeafCRL only the leaf is looked up.
	Revoked []*x509.RevocationList
	LeafCRL bool
	// Wait is how long to wait for a secret that comes over ADS (initial_fetch_timeout); 0 for ever.
	Wait time.Duration
}

// ServerTLS is envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext.
type ServerTLS struct {
	TLSParams
	RequireClientCertificate bool
	DisableResumption        bool
}

// ClientTLS is UpstreamTlsContext.
type ClientTLS struct {
	TLSParams
	SNI     string
	AutoSNI bool // SNI from the request's host
	AutoSAN bool // the peer's certificate must be for the request's host
}

// TLSParams are common to both sides.
type TLSParams struct {
	Certificates           []SecretRef
	Roots                  *SecretRef // nil: the peer is not verified
	MinVersion, MaxVersion uint16     // crypto/tls version numbers, 0: default
	CipherSuites           []uint16   // of TLS 1.2 and older
	Curves                 []uint16   // crypto/tls curve numbers
	ALPN                   []string
	// SANs: the peer's certificate must match one (when there are any).
	SANs []SANMatch
	// Keys and Hashes: where there are any, the peer's certificate must have one of these, SHA-256 of its public key and of the whole.
	Keys, Hashes [][32]byte
	// TrustUnverified accepts any peer certificate (trust_chain_verification ACCEPT_UNTRUSTED).
	TrustUnverified bool
}

// SANMatch matches a subject alternative name of a kind.
type SANMatch struct {
	Kind  SANKind
	Match StringMatch
}

// SANKind is the kind of name.
type SANKind uint8

// The kinds.
const (
	AnySAN SANKind = iota
	URISAN
	DNSSAN
	IPSAN
	EmailSAN
)

// TCP is envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.
type TCP struct {
	Clusters           []WeightedName // one or more
	IdleTimeout        time.Duration  // 0: none
	MaxConnectAttempts uint32         // at least 1
	MaxDuration        time.Duration
	HashSource         bool // connections of one source address keep to one endpoint (hash_policy.source_ip)
	// Tunnel is the destination that upstreams are asked to connect to by CONNECT, "" for none. LocalAddress and ServerName in it stand for those of the connection.
	Tunnel     string
	Forward    *NameForward // nil: clusters choose by themselves
	AccessLogs []AccessLog
	Telemetry  bool     // Istio's TCP metrics
	Metrics    *Metrics // what is different about them, nil for nothing
}

// What stands for the connection in TCP.Tunnel, in Envoy's words.
const (
	LocalAddress = "%DOWNSTREAM_LOCAL_ADDRESS%"
	ServerName   = "%REQUESTED_SERVER_NAME%"
)

// WeightedName is a cluster with its share.
type WeightedName struct {
	Name   string
	Weight uint32
	Match  *SubsetMatch // labels that the endpoint must have
}

// AccessLog is one access log with its filter, compiled by package decode: an *accesslog.Log. This package does not know it, so that it knows nothing of formats.
type AccessLog struct{ Log any }
