package mesh

import (
	"net/netip"
	"time"
)

// Traffic is one DestinationRule: how to call a host.
type Traffic struct {
	Origin   Ref
	Created  time.Time
	Host     Host
	ExportTo Visibility
	// Selector narrows the clients that obey (DestinationRule.workloadSelector); empty: all.
	Selector Labels
	Policy   TrafficPolicy
	Subsets  []Subset
}

// Subset is a labelled part of a service's endpoints.
type Subset struct {
	Name   string
	Labels Labels
	Policy TrafficPolicy // what it does not say, the rule's policy does
}

// TrafficPolicy holds settings; nil means "not said".
type TrafficPolicy struct {
	LoadBalancer *LoadBalancer
	Pool         *ConnectionPool
	Outlier      *OutlierDetection
	TLS          *ClientTLS
	Budget       *RetryBudget
	Proxy        uint8                    // version of the PROXY header that connections begin with, 0 for none
	Tunnel       *Tunnel                  // connections that are TCP or TLS go through; that of a subset stands alone
	Ports        map[uint16]TrafficPolicy // port-level settings replace the policy of the port, all but Budget and Proxy (Istio's rule)
}

// Tunnel asks a host to pass connections on to another one (DestinationRule.trafficPolicy.tunnel): by CONNECT, or by POST.
type Tunnel struct {
	Host string
	Port uint16
	Post bool
}

// Algorithm is the load balancing algorithm.
type Algorithm uint8

// The algorithms (DestinationRule.loadBalancer.simple). LeastRequest is Istio's default.
const (
	LeastRequest Algorithm = iota
	RoundRobin
	Random
	Passthrough
)

// LoadBalancer chooses endpoints.
type LoadBalancer struct {
	Algorithm Algorithm
	Warmup    time.Duration
	// WarmupLeast is the share that an endpoint begins with, in percent, and WarmupAggression how fast it grows; nil for Istio's defaults, 10 and 1.
	WarmupLeast, WarmupAggression *float64
	Hash                          *ConsistentHash  // goes before Algorithm
	Locality                      *LocalityBalance // nil: what the service or the mesh says
	Utilization                   *Utilization     // goes before Algorithm
}

// Utilization weighs endpoints by the load that they tell with their answers (ORCA); 0 is the proxies' default.
type Utilization struct {
	Stabilization, Expiration, Update time.Duration
	PenaltyPercent                    uint32
	Metrics                           []string
}

// ConsistentHash keeps like requests on one endpoint (DestinationRule.loadBalancer.consistentHash). One of Header, Cookie, Query and SourceIP says what is alike.
type ConsistentHash struct {
	Header   string
	Query    string
	SourceIP bool
	Cookie   *HashCookie
	Maglev   bool   // instead of a ring
	Size     uint64 // the ring's least size, or the size of Maglev's table; 0: 1024 and 65537
}

// HashCookie is a cookie that is hashed; with a TTL it is given to clients that have none, for the session when the TTL is 0.
type HashCookie struct {
	Name, Path string
	TTL        *time.Duration
	Attributes []CookieAttribute
}

// CookieAttribute is NAME, or NAME=VALUE.
type CookieAttribute struct{ Name, Value string }

// ConnectionPool bounds what goes to a service; 0 means Envoy's default (for Istio: 2^32-1).
type ConnectionPool struct {
	MaxConnections           uint32
	ConnectTimeout           time.Duration
	TCPIdleTimeout           time.Duration
	MaxConnectionDuration    time.Duration
	KeepaliveTime            time.Duration
	KeepaliveInterval        time.Duration
	KeepaliveProbes          uint32
	MaxPendingRequests       uint32 // http1MaxPendingRequests
	MaxRequests              uint32 // http2MaxRequests: requests in flight
	MaxRequestsPerConnection uint32
	MaxRetries               uint32
	HTTPIdleTimeout          time.Duration
	Version                  HTTPVersion
	MaxStreams               uint32 // at once on a connection of HTTP/2
	// A connection of HTTP/2 that does not answer a PING within AliveTimeout is dead; one is sent every AliveInterval (0: none).
	AliveInterval, AliveTimeout time.Duration
}

// HTTPVersion says which version of HTTP goes to a service.
type HTTPVersion uint8

// The versions: what the mesh says (MeshConfig.h2UpgradePolicy) or else the port's protocol, HTTP/2 (h2UpgradePolicy UPGRADE), that of the client's request
// (useClientProtocol), what the port's protocol says whatever the mesh does (DO_NOT_UPGRADE).
const (
	VersionOfPort HTTPVersion = iota
	VersionTwo
	VersionOfClient
	VersionKept
)

// RetryBudget bounds retries at one time by a share of the requests that are active or wait, and allows a minimum in any case. It takes the place of MaxRetries.
type RetryBudget struct {
	Percent float64
	Minimum uint32
	// Interval counts the requests that began in it instead; 0: those that are active or wait.
	Interval time.Duration
}

// OutlierDetection ejects failing endpoints; nil pointers are not said.
type OutlierDetection struct {
	Consecutive5xx           *uint32
	ConsecutiveGatewayErrors *uint32
	ConsecutiveLocalOrigin   *uint32
	SplitLocalOrigin         bool
	Interval, BaseEjection   time.Duration
	MaxEjectionPercent       uint32
	MinHealthPercent         uint32
	Codes                    []uint32 // the status codes that are errors, ordered; empty: 500 and above
	FailurePercentage        *uint32  // endpoints of which so many requests fail are ejected, however the failures follow each other
}

// TLSMode of a client.
type TLSMode uint8

// The modes of DestinationRule.tls.mode.
const (
	TLSDisable TLSMode = iota
	TLSSimple
	TLSMutual
	TLSIstioMutual
)

// ClientTLS is how a client originates TLS. CredentialName and CACredential are Secrets, NAMESPACE/NAME, or NAME alone for one in the namespace of the proxy.
type ClientTLS struct {
	Mode               TLSMode
	SNI                string
	SubjectAltNames    []string
	CACertificates     string // file
	ClientCertificate  string // file
	PrivateKey         string // file
	CredentialName     string // its certificate is shown (MUTUAL), and its roots vouch for the server
	CACredential       string // the roots of this one vouch instead
	CRL                string // file
	InsecureSkipVerify bool
	Roots, Revoked     []byte // PEM, in the place of files
	Shows              string // MUTUAL: the Secret NAMESPACE/NAME with the client's certificate, which says nothing of roots
	// Denied is why nothing may be sent under this setting (it asks for security that cannot be enforced): connections fail closed. "" when it can be used.
	Denied string
}

// BackendTLS is how a service is called because a BackendTLSPolicy says so, whatever DestinationRules say of TLS.
type BackendTLS struct {
	Origin  Ref
	Service ServiceID
	Port    uint16 // 0: those ports that no other policy names
	TLS     ClientTLS
}

// GatewayID names a Gateway of either dialect.
type GatewayID struct {
	Dialect   Dialect
	Namespace Namespace
	Name      string
	Set       bool // a ListenerSet, which adds listeners to a Gateway of the Gateway API
}

// Dialect is Istio or the Gateway API.
type Dialect uint8

// The dialects.
const (
	Istio Dialect = iota
	GatewayAPI
)

// Gateway is a set of listeners on the proxies that it selects.
type Gateway struct {
	ID      GatewayID
	Of      GatewayID // of a ListenerSet: its Gateway
	Origin  Ref
	Refused bool // as a whole; there are no servers
	Created time.Time
	// Namespace and Selector find the workloads that serve it. An empty namespace is any (Istio); a nil selector with a namespace finds none.
	Namespace Namespace
	Selector  Labels
	Servers   []Server
	// ClientCertificate is the Secret NAMESPACE/NAME with the certificate that the gateway shows to backends to which a BackendTLSPolicy has TLS made; "" for none.
	ClientCertificate string
	// Addresses are those that the load balancer in front of it shall have.
	Addresses []netip.Addr
	// WorkloadName and Account are the names that the objects made for it and their account shall have; "" for the usual one.
	WorkloadName, Account string
	// Overlays change the workloads that are made for the gateway.
	Overlays []Overlay
}

// Overlay is a strategic merge patch, in JSON, of one of a gateway's objects: deployment, service, serviceAccount, horizontalPodAutoscaler or podDisruptionBudget.
type Overlay struct{ Of, Patch string }

// Server is one listener of a gateway.
type Server struct {
	Name     string // listener name (Gateway API), or the port's name
	Port     uint16
	Protocol Protocol
	Bind     string
	// Hosts with their namespace constraint.
	Hosts []ServerHost
	TLS   *ServerTLS
	// HTTPSRedirect answers plain requests with 301 to https.
	HTTPSRedirect bool
	// AllowedNamespaces limits which namespaces' routes may attach: nil is the gateway's rule of its dialect.
	Denied string // why the server must not serve (its security settings cannot be enforced): every connection is closed
}

// ServerHost is NAMESPACE/HOST of a Gateway server.
type ServerHost struct {
	Namespace Namespace // "" any, "." replaced by the gateway's own
	Host      Host
}

// ServerTLSMode is Gateway.servers.tls.mode.
type ServerTLSMode uint8

// The modes. OptionalMutual takes clients without a certificate too; Passthrough chooses by server name what TLS rules say, AutoPassthrough by the name that sidecars give
// to a cluster.
const (
	ServerSimple ServerTLSMode = iota
	ServerMutual
	ServerPassthrough
	ServerIstioMutual
	ServerOptionalMutual
	ServerAutoPassthrough
)

// ServerTLS is the TLS of a gateway's listener. Credential is the Secret NAMESPACE/NAME, or NAME alone for one in the namespace of the proxy (Istio).
type ServerTLS struct {
	Mode                   ServerTLSMode
	Credential             string
	More                   []string // further ones, from which a client gets the first that suits it
	Roots                  string   // PEM: who vouches for clients; "" is what comes with the credential
	MinVersion, MaxVersion uint16   // TLS version numbers of RFC 8446, 0 unset
	SubjectAltNames        []string
	CipherSuites           []string // of TLS 1.2 and older, in OpenSSL's names
	// Own: the certificate is that which the mesh gives to the proxy, in the place of Credential.
	Own bool
	// CA is the credential whose roots vouch for clients, "" for those of Credential.
	CA string
	// Files are certificates that lie beside the proxy, in the place of Credential; CAFile and CRLFile are the roots and what is revoked.
	Files           []CertificateFiles
	CAFile, CRLFile string
	// SPKIs and Hashes: a client's certificate must have one of these, where there are any: SHA-256 of its public key in base64, and of the whole in hexadecimal digits.
	SPKIs, Hashes []string
	// Unverified lets in clients whose certificate nobody vouches for; what is behind the gateway is told of it.
	Unverified bool
	// Strangers: whatever clients show, it is nobody's identity. Policies take them for clients without a certificate, and what is behind the gateway is not told of it.
	Strangers bool
	Curves    []string // that keys are agreed by, in BoringSSL's names
	ALPN      []string // instead of the usual
}

// CertificateFiles are the paths of a chain and its key.
type CertificateFiles struct{ Certificate, Key string }

// Passes says whether TLS is passed on as it is, instead of ended.
func (t *ServerTLS) Passes() bool {
	return t.Mode == ServerPassthrough || t.Mode == ServerAutoPassthrough
}

// Secret is a TLS credential for a gateway.
type Secret struct {
	ID          SecretID
	Certificate []byte // PEM chain
	Key         []byte // PEM
	CA          []byte // PEM, optional
	CRL         []byte // PEM, optional: what is revoked although CA vouches for it
}

// SecretID names a Secret.
type SecretID struct {
	Namespace Namespace
	Name      string
}

// PathForm is the form into which paths are brought before policy and routes look at them (MeshConfig.pathNormalization). Each does what the one before it does.
type PathForm uint8

// The forms. BasePaths is the default: dot segments are resolved, needless escapes undone, backslashes are slashes.
const (
	BasePaths      PathForm = iota
	MergeSlashes            // several slashes are one
	DecodeSlashes           // escaped slashes are slashes
	PathsAsTheyAre          // nothing of all this
)

// Settings are mesh-wide settings (the subset of MeshConfig that this version honours).
type Settings struct {
	TrustDomain      string
	RootNamespace    Namespace
	MeshID           MeshID
	RegistryOnly     bool       // outboundTrafficPolicy REGISTRY_ONLY
	NamesUnknown     bool       // outboundTrafficPolicy ALLOW_ANY_DYNAMIC_DNS: requests to what sidecars do not know go to the host that they name
	UnknownTLS       *ClientTLS // TLS that is made for them (outboundTrafficPolicy.tls); nil for none
	Ingress          IngressSettings
	AutoMTLS         bool
	AccessLogFile    string
	AccessLogJSON    bool
	AccessLogFormat  LogFormat        // accessLogFormat, with JSON for the encoding; the zero value is Istio's
	Providers        []Provider       // extensionProviders, in their order
	Defaults         DefaultProviders // defaultProviders
	EnableTracing    bool             // enableTracing: Proxy.Tracing.Zipkin counts where nothing else is said
	ConnectTimeout   time.Duration
	DetectionTimeout time.Duration // protocol detection; 0 waits for ever
	ClusterDomain    string        // cluster.local
	HTTPProxyPort    uint16        // explicit proxy listener for workloads without capture; 0 none
	InsideMesh       []netip.Prefix
	Retry            *Retry        // defaultHttpRetryPolicy: of rules that say nothing; nil is Istio's
	InboundRetry     *Retry        // defaultInboundHttpRetryPolicy; nil for none
	Keepalive        Keepalive     // of connections that proxies make; the zero value is the kernel's
	DNSRefresh       time.Duration // how long an answer of the name server is good for where it does not say so itself
	LocalInbound     bool          // inboundTrafficPolicy LOCALHOST: applications are called at 127.0.0.1
	OutboundStat     string        // pattern of the names of statistics of clusters (outboundClusterStatName), "" for the cluster's own name
	InboundStat      string
	MeshTLS          TLSBounds        // of mutual TLS within the mesh (meshMTLS)
	TLS              TLSBounds        // of all other TLS, where nothing else is said (tlsDefaults)
	Locality         *LocalityBalance // localityLbSetting; nil is its zero value
	Paths            PathForm         // pathNormalization
	Baseline         TrafficPolicy    // defaultTrafficPolicy: the pool and outlier detection towards services whose rule says nothing of them
	UpgradeHTTP      bool             // h2UpgradePolicy UPGRADE: services that speak HTTP/1.1 are asked in HTTP/2
	Discovery        []Selector       // discoverySelectors: namespaces that none of these chooses are out of the mesh, but for RootNamespace; empty: all are in it
	Reaches          *Reaches         // serviceEntryVisibility, where sidecars obey it; nil for no bound
	Scopes           []HostScope      // serviceSettings
	TrustAliases     []string         // trustDomainAliases: identities of these trust domains are like those of TrustDomain
	Unverified       bool             // verifyCertificateAtClient false: a server of which no rule says who vouches for it is taken as it is
	Exports          Exports          // defaultServiceExportTo, defaultVirtualServiceExportTo, defaultDestinationRuleExportTo
	Injects          bool             // this control plane puts proxies into pods, so labels that ask for it are honoured
	Proxy            ProxyConfig      // defaultConfig: what counts for proxies that say nothing of their own
}

// Keepalive is TCP's, 0 for what the kernel does.
type Keepalive struct {
	Probes         uint32
	Time, Interval time.Duration
}
