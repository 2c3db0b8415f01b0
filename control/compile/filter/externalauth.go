package filter

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extauthzv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_authz/v3"
	chainv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/filter_chain/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/heddle-mesh/heddle/control/compile/message"
	"github.com/heddle-mesh/heddle/mesh"
)

const (
	chainName    = "envoy.filters.http.filter_chain"
	extAuthzName = "envoy.filters.http.ext_authz"
	// authTimeout is how long a server may take to decide.
	authTimeout = 10 * time.Second
)

// Checks is the filter whose chain routes bring along, with ExternalAuths; it costs nothing where they do not.
func Checks() *hcmv3.HttpFilter {
	f := http(chainName, &chainv3.FilterChainConfig{})
	f.Disabled = true
	return f
}

// ExternalAuths is what a route configures of the filter, with its name. Per-route settings of ext_authz itself have no list of headers, so each route has a filter of its own.
func ExternalAuths(list []mesh.ExternalAuth, cluster func(*mesh.Backend) string) (string, *anypb.Any) {
	chain := &chainv3.FilterChain{}
	for i := range list {
		name := extAuthzName
		if i > 0 { // of two filters with one name one would count
			name = fmt.Sprintf("%s.%d", extAuthzName, i)
		}
		chain.Filters = append(chain.Filters, &corev3.TypedExtensionConfig{Name: name, TypedConfig: message.Any(extAuthz(&list[i], cluster(&list[i].Backend)))})
	}
	return chainName, message.Any(&chainv3.FilterChainConfigPerRoute{FilterChain: chain})
}

func extAuthz(a *mesh.ExternalAuth, cluster string) *extauthzv3.ExtAuthz {
	out := &extauthzv3.ExtAuthz{TransportApiVersion: corev3.ApiVersion_V3, AllowedHeaders: names(a.Headers)}
	if a.Body > 0 {
		out.WithRequestBody = &extauthzv3.BufferSettings{MaxRequestBytes: a.Body}
	}
	if a.GRPC {
		out.Services = &extauthzv3.ExtAuthz_GrpcService{GrpcService: &corev3.GrpcService{
			TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{ClusterName: cluster}}, Timeout: message.Duration(authTimeout),
		}}
		return out
	}
	answers := names(a.Answers)
	if answers == nil {
		answers = &matcherv3.ListStringMatcher{Patterns: []*matcherv3.StringMatcher{{MatchPattern: &matcherv3.StringMatcher_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{Regex: others(ownFields)}}}}}
	}
	out.Services = &extauthzv3.ExtAuthz_HttpService{HttpService: &extauthzv3.HttpService{
		ServerUri: &corev3.HttpUri{
			Uri: fmt.Sprintf("http://%s:%d", a.Backend.Host, a.Backend.Port), HttpUpstreamType: &corev3.HttpUri_Cluster{Cluster: cluster}, Timeout: message.Duration(authTimeout),
		},
		PathPrefix: a.Path, AuthorizationResponse: &extauthzv3.AuthorizationResponse{AllowedUpstreamHeaders: answers},
	}}
	return out
}

// names matches fields by their names; nil for none.
func names(list []string) *matcherv3.ListStringMatcher {
	if len(list) == 0 {
		return nil
	}
	out := &matcherv3.ListStringMatcher{}
	for _, n := range list {
		out.Patterns = append(out.Patterns, &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: n}, IgnoreCase: true})
	}
	return out
}

// ownFields are about the message that has them, and would make another message of a request that they are copied into; and host, which GEP-1494 excepts. A star stands for any end.
var ownFields = []string{"connection", "content-*", "date", "expect", "host", "keep-alive", "proxy-connection", "server", "te", "trailer", "transfer-*", "upgrade", "x-envoy-*"}

// others is an expression for the names of all fields but some, in an engine without a negation: at each letter a name either leaves the words that are left, or ends too early.
func others(words []string) string {
	ends := slices.Contains(words, "")
	next := map[byte][]string{}
	var letters []byte
	for _, w := range words {
		if w == "" {
			continue
		}
		if _, ok := next[w[0]]; !ok {
			letters = append(letters, w[0])
		}
		next[w[0]] = append(next[w[0]], w[1:])
	}
	if len(letters) == 0 { // behind a word: anything more is another name
		return ".+"
	}
	slices.Sort(letters)
	var b strings.Builder
	b.WriteString("(?:[^:" + strings.ReplaceAll(string(letters), "-", `\-`) + "].*")
	for _, c := range letters {
		if !slices.Contains(next[c], "*") {
			b.WriteString("|" + string(c) + others(next[c]))
		}
	}
	b.WriteString(")")
	if !ends {
		b.WriteString("?")
	}
	return b.String()
}
