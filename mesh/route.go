package mesh

import (
	"regexp"
	"slices"
	"strings"
	"time"
)

// Route is one VirtualService or route of the Gateway API: rules for hosts, in effect for sidecars ("mesh") or at gateways.
type Route struct {
	Origin   Ref
	Created  time.Time
	Hosts    []Host
	Mesh     bool        // applies to sidecars
	Merge    bool        // counts there together with others for a host that ask for it too
	Gateways []GatewayID // applies at these gateways
	// Calls are the Services and ServiceEntries for whose callers a Gateway API route is; Mesh says that there are any.
	Calls []Call
	// Parents narrow a Gateway API route to listeners; empty for VirtualServices.
	Parents  []Parent
	ExportTo Visibility
	HTTP     []HTTPRule
	TCP      []TCPRule
	TLS      []TLSRule
	UDP      []UDPRule // the first one counts
}

// Call is what sidecars call when a Gateway API route is for them.
type Call struct {
	Host Host
	Port uint16    // 0: every port
	From Namespace // the callers' namespace, when only that of the route obeys it (a consumer's route); "": all callers
}

// Parent is one listener that a Gateway API route attached to, with the host names that both agree on.
type Parent struct {
	Gateway  GatewayID // or a ListenerSet
	Of       GatewayID // the Gateway, or that of the ListenerSet
	Listener string
	Hosts    []Host
}

// Backed says whether one of the backends that the route leads to, copies and questions included, is as asked.
func (r *Route) Backed(by func(*Backend) bool) bool {
	any := func(list []Backend) bool {
		return slices.ContainsFunc(list, func(b Backend) bool { return by(&b) })
	}
	for i := range r.HTTP {
		if any(r.HTTP[i].Destinations()) {
			return true
		}
	}
	return slices.ContainsFunc(r.TCP, func(x TCPRule) bool { return any(x.Backends) }) || slices.ContainsFunc(r.TLS, func(x TLSRule) bool { return any(x.Backends) }) ||
		slices.ContainsFunc(r.UDP, func(x UDPRule) bool { return any(x.Backends) })
}

// MatchKind tells how a StringMatch compares.
type MatchKind uint8

// The kinds of string match. PathPrefix is the Gateway API's: whole path segments.
const (
	MatchAny MatchKind = iota
	MatchExact
	MatchPrefix
	MatchRegex // RE2, the whole value
	MatchPathPrefix
	MatchPresent
)

// StringMatch compares one value. The zero value matches everything.
type StringMatch struct {
	Kind       MatchKind
	Value      string
	IgnoreCase bool
}

// Matches says whether a value that is there matches.
func (m StringMatch) Matches(value string) bool {
	want := m.Value
	if m.IgnoreCase {
		want, value = strings.ToLower(want), strings.ToLower(value)
	}
	switch m.Kind {
	case MatchExact:
		return value == want
	case MatchPrefix:
		return strings.HasPrefix(value, want)
	case MatchPathPrefix:
		want = strings.TrimRight(want, "/")
		return value == want || strings.HasPrefix(value, want+"/")
	case MatchRegex:
		re, err := regexp.Compile("^(?:" + m.Value + ")$")
		return err == nil && re.MatchString(value)
	}
	return true
}

// NamedMatch matches a header or query parameter. Without inverts (VirtualService withoutHeaders).
type NamedMatch struct {
	Name    string
	Match   StringMatch
	Without bool
}

// HTTPMatch matches when all its parts do.
type HTTPMatch struct {
	Name            string
	StatPrefix      string // what matches is counted under it, "" for nothing
	Path            StringMatch
	Scheme, Method  StringMatch
	Authority       StringMatch
	Headers         []NamedMatch // ordered by name
	Query           []NamedMatch // ordered by name
	Port            uint16       // 0 matches every port
	SourceLabels    Labels
	SourceNamespace Namespace
	Gateways        []GatewayID // empty: those of the route
	Mesh            bool        // with Gateways: "mesh" is among them
	Call            [2]int      // of a GRPCRoute: how many characters of the service and of the method are asked for; more goes first
}

// HTTPRule is one rule: the first one with a matching Match wins (no Match: matches all).
type HTTPRule struct {
	Name       string
	Matches    []HTTPMatch
	Backends   []Backend
	Redirect   *Redirect
	Direct     *DirectResponse
	Rewrite    *Rewrite
	Timeout    *time.Duration // nil: none given; 0: off
	Retry      *Retry
	Fault      *Fault
	CORS       *CORS
	Mirrors    []Mirror
	Headers    HeaderEdits
	TryTimeout *time.Duration // Gateway API backendRequest
	Session    *Session
	Auth       []ExternalAuth // all must allow a request
}

// ExternalAuth is a server that is asked about each request, which goes on only when it is allowed.
type ExternalAuth struct {
	Backend Backend
	GRPC    bool   // envoy.service.auth.v3.Authorization, else HTTP
	Path    string // HTTP: what goes in front of the request's path
	// Headers, in lower case and ordered, are told beside those that are always told; by gRPC all are told where none is named.
	Headers []string
	// Answers, in lower case and ordered, are copied from the answer into the request, all where none is named; HTTP only.
	Answers []string
	Body    uint32 // how long a body may be that is told, in bytes; 0: none is told
}

// Session keeps a client to the endpoint that answered it first: the client is told a token and sends it along.
type Session struct {
	Name   string // of the cookie or header, in the case in which it is written
	Header bool
	// Lifetime is how long clients keep the cookie, whole seconds; 0: as they like.
	Lifetime time.Duration
}

// Destinations are all backends that requests of the rule lead to, copies and questions about them included.
func (r *HTTPRule) Destinations() []Backend {
	out := slices.Clone(r.Backends)
	copies := func(list []Mirror) {
		for _, m := range list {
			out = append(out, m.Backend)
		}
	}
	asked := func(list []ExternalAuth) {
		for _, a := range list {
			out = append(out, a.Backend)
		}
	}
	copies(r.Mirrors)
	asked(r.Auth)
	for _, b := range r.Backends {
		if b.Own != nil {
			copies(b.Own.Mirrors)
			asked(b.Own.Auth)
		}
	}
	return out
}

// Backend is a weighted destination. A backend that cannot be resolved has Invalid set and answers 500 (Gateway API) or 503 (Istio: an unknown host).
type Backend struct {
	Host    Host
	Service ServiceID // zero when the host is not known
	Subset  string
	Port    uint16 // 0: the only port of the service
	Weight  uint32
	Headers HeaderEdits
	Invalid string // why, "" when it can be used
	Own     *Own   // nil: nothing but Headers
}

// Own is what is done to one backend's share of a rule's requests: in the place of what the rule says of the same, but for copies and questions, which come on top of those of the rule.
type Own struct {
	Redirect *Redirect
	Rewrite  *Rewrite
	CORS     *CORS
	Mirrors  []Mirror
	Auth     []ExternalAuth
}

// IsZero says whether nothing is done.
func (o *Own) IsZero() bool {
	return o == nil || o.Redirect == nil && o.Rewrite == nil && o.CORS == nil && len(o.Mirrors) == 0 && len(o.Auth) == 0
}

// HeaderEdits change headers of requests and responses.
type HeaderEdits struct{ Request, Response HeaderEdit }

// HeaderEdit sets, appends and removes headers, in that order; names are lower case and lists are ordered by name.
type HeaderEdit struct {
	Set, Add []Header
	Remove   []string
}

// IsZero says whether nothing is edited.
func (e HeaderEdit) IsZero() bool { return len(e.Set)+len(e.Add)+len(e.Remove) == 0 }

// Header is a name and value.
type Header struct{ Name, Value string }

// Redirect answers with a Location.
type Redirect struct {
	Scheme, Host  string
	Path          string // whole path, "" keeps it
	PrefixRewrite *string
	Port          uint16 // 0: see DerivePort
	DerivePort    PortSource
	Code          uint16
}

// PortSource says which port a redirect names when none is written.
type PortSource uint8

// The sources: what the client wrote in its Host header, where it asked (FROM_REQUEST_PORT of VirtualService), the scheme's (FROM_PROTOCOL_DEFAULT), which
// is the listener's where the scheme has none.
const (
	PortOfHost PortSource = iota
	PortOfListener
	PortOfScheme
)

// String is the source's name.
func (p PortSource) String() string {
	return [...]string{PortOfHost: "host", PortOfListener: "listener", PortOfScheme: "scheme"}[p]
}

// DirectResponse answers without a backend.
type DirectResponse struct {
	Status uint16
	Body   []byte
}

// Rewrite changes what the backend sees.
type Rewrite struct {
	Authority            string
	Path                 *string // replaces the matched prefix (VirtualService), or the whole path when FullPath
	FullPath             bool
	Regex, RegexReplaced string
}

// Retry is the retry policy of a rule. Attempts 0 switches retries off.
type Retry struct {
	Attempts                uint32
	PerTryTimeout           time.Duration
	On                      string // Envoy's retry_on words
	Codes                   []uint32
	RemoteLocalities        *bool
	IgnorePreviousHosts     *bool
	BackoffBase, BackoffMax time.Duration
}

// Fault injects delays and aborts. Percentages are in units of 1/10,000 percent (Envoy's MILLION denominator).
type Fault struct {
	DelayPercent uint32
	Delay        time.Duration
	AbortPercent uint32
	AbortStatus  uint32
	AbortGRPC    string
}

// CORS lets pages of other origins read the answers (Fetch standard, "CORS protocol").
type CORS struct {
	Origins                  []StringMatch  // the origin is to match one of them
	Methods, Headers, Expose []string       // "*" alone in Methods or Headers: whatever the preflight asks for
	MaxAge                   *time.Duration // whole seconds
	Credentials              bool
	// AnswerUnmatched answers preflights from other origins, without permission, instead of passing them on.
	AnswerUnmatched bool
}

// Mirror sends a copy. Percent as in Fault.
type Mirror struct {
	Backend Backend
	Percent uint32
}

// L4Match matches a connection.
type L4Match struct {
	SNIHosts        []Host
	Destinations    []string // CIDR
	Sources         []string // CIDR
	Port            uint16
	SourceLabels    Labels
	SourceNamespace Namespace
	Gateways        []GatewayID
	Mesh            bool
}

// TCPRule routes opaque connections.
type TCPRule struct {
	Name     string
	Matches  []L4Match
	Backends []Backend
}

// UDPRule routes datagrams to its only backend; without one they are dropped.
type UDPRule struct {
	Name     string
	Backends []Backend
}

// TLSRule routes by SNI. One of the Gateway API has no matches: it is for the hosts of its parents.
type TLSRule struct {
	Name     string
	Hosts    []Host // of a TLSRoute: what it says itself
	Matches  []L4Match
	Backends []Backend
}
