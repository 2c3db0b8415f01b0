package mesh

import (
	"encoding/json"
	"time"
)

// ProxyConfig is what Istio's ProxyConfig says about the way in which a proxy treats connections and headers. Values can be compared: proxies with equal ones share what is
// compiled.
type ProxyConfig struct {
	// ProxyProtocol: connections to gateways begin with a PROXY header (gatewayTopology.proxyProtocol).
	ProxyProtocol bool
	// TrustedProxies is how many proxies in front of a gateway are believed in x-forwarded-for.
	TrustedProxies uint32
	// EdgeCertificates and InboundCertificates say what becomes of x-forwarded-client-cert at gateways and on the inbound side of sidecars.
	EdgeCertificates, InboundCertificates ForwardCertificates
	Certificate                           CertificateDetails
	ServerName                            string // "": istio-envoy
	KeepServer                            bool   // the server header stays as the application wrote it
	NoRequestID                           bool
	NoAttemptCount                        bool
	NoDebugHeaders                        bool // x-envoy-*
	ForwardedHost, ForwardedPort          bool // x-forwarded-host when the host is rewritten, x-forwarded-port
	Connections                           Connections
	Tracing                               ProxyTracing
}

// ProxyTracing is what a ProxyConfig says of tracing, where no Telemetry says it.
type ProxyTracing struct {
	Sampling  float64 // percent; 0: not said
	Tags      TagSet
	MaxPath   uint32 // bytes of a path in a tag; 0: not said
	IstioTags Choice
	Zipkin    string // HOST:PORT, with MeshConfig's enableTracing
}

// TagSet is a list of tags that can be compared. The zero value is empty.
type TagSet struct{ text string }

// TagsOf makes a set of a list.
func TagsOf(list []TraceTag) TagSet {
	if len(list) == 0 {
		return TagSet{}
	}
	text, err := json.Marshal(list)
	if err != nil {
		panic(err) // texts and numbers
	}
	return TagSet{string(text)}
}

// List are the tags.
func (s TagSet) List() (list []TraceTag) {
	if s.text != "" {
		if err := json.Unmarshal([]byte(s.text), &list); err != nil {
			panic(err) // TagsOf wrote it
		}
	}
	return list
}

// Equal says whether two sets have the same tags in the same order.
func (s TagSet) Equal(o TagSet) bool { return s == o }

// String writes them.
func (s TagSet) String() string { return s.text }

// ForwardCertificates is what becomes of x-forwarded-client-cert.
type ForwardCertificates uint8

// The ways; CertificatesByRole is each role's own: SANITIZE_SET at gateways, APPEND_FORWARD inbound.
const (
	CertificatesByRole ForwardCertificates = iota
	CertificatesSanitize
	CertificatesForwardOnly
	CertificatesAppend
	CertificatesSanitizeSet
	CertificatesAlwaysForward
)

// CertificateDetails are the parts of a client's certificate that x-forwarded-client-cert tells.
type CertificateDetails struct{ Subject, Cert, Chain, DNS, URI Choice }

// Choice is yes or no, or nothing said.
type Choice uint8

// The choices.
const (
	Unsaid Choice = iota
	No
	Yes
)

// Or gives the choice, or what counts where nothing is said.
func (c Choice) Or(unsaid bool) bool {
	if c == Unsaid {
		return unsaid
	}
	return c == Yes
}

// ChoiceOf is Yes or No.
func ChoiceOf(yes bool) Choice {
	if yes {
		return Yes
	}
	return No
}

// Connections are the bounds of what comes to a proxy (connectionSettings); 0 is Envoy's default, or none.
type Connections struct {
	ListenerBuffer, ClusterBuffer uint32 // bytes held for a connection
	Idle, Life                    time.Duration
	Drain                         time.Duration
	Request, RequestHeaders       time.Duration
	StreamIdle, StreamLife        time.Duration
	Streams                       uint32 // at one time on an HTTP/2 connection
	StreamWindow, Window          uint32 // of HTTP/2, bytes
	Underscores                   Underscores
	MergeSlashes                  Choice
	EscapedSlashes                EscapedSlashes
}

// Underscores is what becomes of header names with underscores.
type Underscores uint8

// The ways.
const (
	AllowUnderscores Underscores = iota
	RejectUnderscores
	DropUnderscores
)

// EscapedSlashes is what becomes of paths with %2F and %5C; the zero value leaves it to pathNormalization.
type EscapedSlashes uint8

// The ways.
const (
	EscapedSlashesUnsaid EscapedSlashes = iota
	KeepEscapedSlashes
	RejectEscapedSlashes
	RedirectEscapedSlashes
	ForwardEscapedSlashes
)
