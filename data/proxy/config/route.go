package config

import (
	"cmp"
	"regexp"
	"time"
)

// RouteTable is envoy.config.route.v3.RouteConfiguration. With VHDS the hosts come one by one.
type RouteTable struct {
	Name         string
	Hosts        []*VirtualHost
	Headers      HeaderEdits
	VHDS         bool
	HostsWait    time.Duration // how long to wait for them (initial_fetch_timeout); 0 for ever
	MostSpecific bool          // most_specific_header_mutations_wins
	IgnorePort   bool          // ignore_port_in_host_matching
}

// VirtualHost is envoy.config.route.v3.VirtualHost.
type VirtualHost struct {
	Name                 string
	Domains              []string // lower case
	Routes               []*Route
	Headers              HeaderEdits
	Retry                *Retry
	Hedge                bool // of routes that do not say; see Forward.Hedge
	IncludeAttemptCount  bool
	AttemptCountResponse bool
	RequireTLS           bool // redirect plain requests to https
	PerFilter            PerFilter
}

// StringKind tells how a StringMatch compares.
type StringKind uint8

// The kinds of match.
const (
	Exact StringKind = iota
	Prefix
	Suffix
	Contains
	Regex // the whole value
)

// StringMatch is envoy.type.matcher.v3.StringMatcher.
type StringMatch struct {
	Kind       StringKind
	Value      string         // lower case when IgnoreCase
	Regex      *regexp.Regexp // anchored at both ends
	IgnoreCase bool
}

// HeaderMatch is envoy.config.route.v3.HeaderMatcher.
type HeaderMatch struct {
	Name string // lower case
	// Present: the header's presence (or absence, with PresentValue false) is all that counts.
	Present, PresentValue bool
	Range                 bool // numeric, From ≤ v < To
	From, To              int64
	String                *StringMatch
	Invert                bool
	MissingIsEmpty        bool // treat_missing_header_as_empty
}

// QueryMatch is QueryParameterMatcher.
type QueryMatch struct {
	Name    string
	Present bool // presence is all that counts
	String  *StringMatch
}

// PathKind is how a route matches the path.
type PathKind uint8

// The kinds of path match; all look at the path without its query.
const (
	PathPrefix PathKind = iota
	PathExact
	PathRegex
	PathSeparatedPrefix
	PathConnect // CONNECT requests
)

// RouteMatch is envoy.config.route.v3.RouteMatch.
type RouteMatch struct {
	Path       PathKind
	Value      string
	Regex      *regexp.Regexp // anchored
	IgnoreCase bool
	Headers    []HeaderMatch
	Query      []QueryMatch
	GRPC       bool
	// Share of a million of requests that match (runtime_fraction); 1,000,000 and more is all.
	Share    uint32
	HasShare bool
}

// Route is envoy.config.route.v3.Route. Exactly one of Forward, Redirect and Direct is set.
type Route struct {
	Name string
	// StatPrefix names counters of the route, "" for none.
	StatPrefix string
	Match      RouteMatch
	Forward    *Forward
	Redirect   *Redirect
	Direct     *Direct
	Headers    HeaderEdits
	PerFilter  PerFilter
	// BodyLimit is how many bytes of a request are kept for retries and mirrors (request_body_buffer_limit, per_request_buffer_limit_bytes; of the virtual host where the
	// route has none); nil: as many as its connection may hold.
	BodyLimit *uint64
	// Operation names spans (decorator); Silent keeps it from the other side (propagate).
	Operation string
	Silent    bool
	// Origin is the user's object (metadata istio.config), for the decision trail.
	Origin string
}

// PerFilter is typed_per_filter_config, on a route, virtual host or weighted cluster.
type PerFilter struct {
	Fault       *Fault
	CORS        *CORS
	RBAC        *RBAC
	RBACDisable bool
	Compressor  *CompressorRoute
	Checks      []*ExtAuthz // in order; of a filter_chain
	Session     *Session    // of which the zero value is none
}

// CORS is envoy.extensions.filters.http.cors.v3.CorsPolicy; what it does not say, that of the virtual host did.
type CORS struct {
	Share                            uint32 // of a million requests that it is for (filter_enabled)
	Origins                          []*StringMatch
	Methods, Headers, Expose, MaxAge string // values of response headers; "*" in Methods and Headers is whatever is asked for
	Credentials                      *bool
	PrivateNetwork                   *bool
	Forward                          *bool // preflights from origins that do not match
}

// Over is c with what it does not say taken from base. Either may be nil.
func (c *CORS) Over(base *CORS) *CORS {
	if c == nil || base == nil {
		return cmp.Or(c, base)
	}
	out := *c
	if len(out.Origins) == 0 {
		out.Origins = base.Origins
	}
	out.Methods, out.Headers = cmp.Or(c.Methods, base.Methods), cmp.Or(c.Headers, base.Headers)
	out.Expose, out.MaxAge = cmp.Or(c.Expose, base.Expose), cmp.Or(c.MaxAge, base.MaxAge)
	out.Credentials, out.PrivateNetwork = cmp.Or(c.Credentials, base.Credentials), cmp.Or(c.PrivateNetwork, base.PrivateNetwork)
	out.Forward = cmp.Or(c.Forward, base.Forward)
	return &out
}

// Forward is envoy.config.route.v3.RouteAction.
type Forward struct {
	Cluster       string
	ClusterHeader string
	Level         uint8        // routing priority (priority): 0 the default, 1 HIGH; its circuit breakers count
	Match         *SubsetMatch // labels that the endpoint must have; of Weighted each has its own
	Weighted      []WeightedCluster
	TotalWeight   uint32
	NotFoundCode  int // cluster_not_found_response_code: 503 by default

	PrefixRewrite   *string
	RegexRewrite    *RegexRewrite
	HostRewrite     string
	HostRewriteAuto bool // to the endpoint's host name
	AppendXFH       bool

	// Timeout of the whole request; 0: none. IdleTimeout and MaxStreamDuration of the stream; nil: that of the connection manager, 0: none.
	Timeout           time.Duration
	IdleTimeout       *time.Duration
	MaxStreamDuration *time.Duration
	// MaxGRPCTimeout bounds the header grpc-timeout, which then takes the place of Timeout; GRPCHeaderMax does so for MaxStreamDuration. nil: the header means nothing
	// to the proxy; 0: it has no bound.
	MaxGRPCTimeout, GRPCHeaderMax *time.Duration
	Retry                         *Retry
	// Hedge sends another request when a try takes longer than it may, and takes the first good answer (hedge_on_per_try_timeout); nil: as the virtual host says.
	Hedge      *bool
	Mirrors    []Mirror
	Hash       []HashPolicy
	Upgrades   map[string]bool // per-route switches of upgrades
	EndConnect bool            // a CONNECT ends here: its bytes go to the cluster as they are
}

// RegexRewrite replaces all matches of a pattern in the path (regex_rewrite).
type RegexRewrite struct {
	Regex        *regexp.Regexp
	Substitution string // \1 refers to groups
}

// WeightedCluster is one of weighted_clusters.
type WeightedCluster struct {
	Name        string
	Weight      uint32
	Headers     HeaderEdits
	HostRewrite string
	PerFilter   PerFilter
	Match       *SubsetMatch
}

// Retry is envoy.config.route.v3.RetryPolicy, resolved.
type Retry struct {
	On             RetryOn
	Codes          []int // retriable_status_codes
	Headers        []HeaderMatch
	RequestHeaders []HeaderMatch
	Attempts       uint32 // retries after the first try
	PerTry         time.Duration
	PerTryIdle     time.Duration
	BackoffBase    time.Duration // 25 ms by default
	BackoffMax     time.Duration // 10 × base by default
	PreviousHosts  bool          // envoy.retry_host_predicates.previous_hosts
	OmitCanaries   bool          // envoy.retry_host_predicates.omit_canary_hosts
	// OmitLabels are metadata (envoy.lb) of endpoints that are left out: all pairs of one of the sets (envoy.retry_host_predicates.omit_host_metadata).
	OmitLabels      []map[string]string
	SelectAttempts  int // host_selection_retry_max_attempts
	PriorityForfeit int // retry_priority previous_priorities: update frequency, 0 for none
	// Resets are headers of a response that say when to come again (rate_limited_retry_back_off); what lies further ahead than ResetMax is not believed.
	Resets   []ResetHeader
	ResetMax time.Duration
}

// Avoids says whether any endpoint may be left out when a retry chooses.
func (r *Retry) Avoids() bool { return r.PreviousHosts || r.OmitCanaries || len(r.OmitLabels) > 0 }

// ResetHeader is envoy.config.route.v3.RetryPolicy.ResetHeader: seconds from now, or a Unix time.
type ResetHeader struct {
	Name string // lower case
	Unix bool
}

// RetryOn is the set of words of retry_on.
type RetryOn uint32

// The words.
const (
	Retry5xx RetryOn = 1 << iota
	RetryGatewayError
	RetryReset
	RetryResetBeforeRequest
	RetryConnectFailure
	RetryEnvoyRateLimited
	RetryRetriable4xx
	RetryRefusedStream
	RetryRetriableStatusCodes
	RetryRetriableHeaders
	RetryHTTP3PostConnect
	RetryGRPCCancelled
	RetryGRPCDeadline
	RetryGRPCResource
	RetryGRPCUnavailable
	RetryGRPCInternal
)

// Mirror is one of request_mirror_policies.
type Mirror struct {
	Cluster  string
	Share    uint32 // of a million
	NoSuffix bool   // disable_shadow_host_suffix_append
}

// HashPolicy is RouteAction.HashPolicy: what of a request is hashed. One of Header, Cookie, Query and SourceIP is set.
type HashPolicy struct {
	Header, Query string // Header in lower case
	Cookie        *HashCookie
	SourceIP      bool
	Terminal      bool // no other policy counts when this one found something
}

// HashCookie is a cookie that is hashed; with a TTL it is made for clients that have none, for the session when the TTL is 0.
type HashCookie struct {
	Name, Path string
	TTL        *time.Duration
	Attributes []string // NAME or NAME=VALUE
}

// Redirect is envoy.config.route.v3.RedirectAction.
type Redirect struct {
	HTTPS         bool
	Scheme        string
	Host          string
	Port          uint16
	Path          string
	PrefixRewrite *string
	RegexRewrite  *RegexRewrite
	Code          int
	StripQuery    bool
}

// Direct is DirectResponseAction.
type Direct struct {
	Status int
	Body   []byte
}

// HeaderEdits change headers of the request to the upstream and of the response to the client.
type HeaderEdits struct {
	Request, Response             []HeaderSet // in order
	RequestRemove, ResponseRemove []string    // lower case
}

// HeaderAction is HeaderValueOption.append_action.
type HeaderAction uint8

// The actions.
const (
	AppendOrAdd HeaderAction = iota
	AddIfAbsent
	OverwriteOrAdd
	OverwriteIfExists
)

// HeaderSet is one HeaderValueOption. Value is literal; a value with %OPERATORS% is compiled into Format.
type HeaderSet struct {
	Name      string
	Value     string
	Format    any // a compiled accesslog format, nil for a literal
	Action    HeaderAction
	KeepEmpty bool
}
