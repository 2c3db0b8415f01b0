package mesh

import (
	"slices"
	"strings"
	"time"
)

// Provider is one of MeshConfig's extensionProviders; of the pointers one is set at most.
type Provider struct {
	Name    string
	File    *FileLog    // envoyFileAccessLog
	Log     *ServiceLog // envoyHttpAls, envoyTcpAls and envoyOtelAls
	Traces  *TraceSink  // opentelemetry, zipkin
	Metrics bool        // prometheus
}

// FileLog is an access log in a file.
type FileLog struct {
	Path      string // "": /dev/stdout
	Format    LogFormat
	OmitEmpty bool
}

// LogFormat is a text or an object with operators; the zero value is Istio's default text.
type LogFormat struct {
	Text   string
	Labels map[string]any // of strings, lists and objects
	JSON   bool           // an object is asked for: without labels, Istio's default one
}

// ServiceAt names a service that proxies report to: HOST or NAMESPACE/HOST.
type ServiceAt struct {
	Host      Host
	Namespace Namespace // "": the one that has the host
	Port      uint16
}

// ServiceLog is an access log that goes to a service.
type ServiceLog struct {
	At   ServiceAt
	Kind LogKind
	Name string // logName; "": the kind's own
	// Of the kinds of Envoy's service.
	FilterState                                       []string
	RequestHeaders, ResponseHeaders, ResponseTrailers []string
	// Of OTLP: the body is text, the attributes are labels.
	Format LogFormat
}

// LogKind is how log entries are sent.
type LogKind uint8

// The kinds.
const (
	LogRequests    LogKind = iota // Envoy's access log service, with entries of HTTP
	LogConnections                // the same, with entries of TCP
	LogOTLP
)

// TraceSink is where spans go.
type TraceSink struct {
	At       ServiceAt
	Zipkin   bool
	HTTP     bool          // OTLP over HTTP
	Path     string        // of requests by HTTP
	Timeout  time.Duration // of OTLP; 0: none
	Headers  []NamedValue  // of OTLP: of requests by HTTP, or initial metadata of gRPC
	MaxPath  uint32        // bytes of a path in a tag; 0: not said
	Short    bool          // enable64bitTraceId
	W3C      bool          // USE_B3_WITH_W3C_PROPAGATION
	ReadsEnv bool          // resourceDetectors.environment
}

// NamedValue is a header with its value.
type NamedValue struct{ Name, Value string }

// DefaultProviders are the providers that count where no Telemetry names others.
type DefaultProviders struct{ Tracing, Logging, Metrics []string }

// ownProviders are those that every mesh has (Istio's).
var ownProviders = []Provider{{Name: "envoy", File: &FileLog{}}, {Name: "prometheus", Metrics: true}}

// MeshLog is the name of the provider whose format is that of MeshConfig's accessLogFormat and accessLogEncoding, if it has none of its own.
const MeshLog = "envoy"

// Provider finds a provider by name, in whatever case; nil for none.
func (s *Settings) Provider(name string) *Provider {
	for _, list := range [][]Provider{s.Providers, ownProviders} {
		for i := range list {
			if strings.EqualFold(list[i].Name, name) {
				return &list[i]
			}
		}
	}
	return nil
}

// Reports are the ports of a host at which proxies report to it.
func (s *Settings) Reports(h Host) (ports []uint16) {
	for i := range s.Providers {
		if at := s.Providers[i].at(); at != nil && at.Host == h && !slices.Contains(ports, at.Port) {
			ports = append(ports, at.Port)
		}
	}
	return ports
}

func (p *Provider) at() *ServiceAt {
	switch {
	case p.Log != nil:
		return &p.Log.At
	case p.Traces != nil:
		return &p.Traces.At
	}
	return nil
}

// Logs says whether a provider takes access logs.
func (p *Provider) Logs() bool { return p.File != nil || p.Log != nil }
