package decode

import (
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extauthzv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_authz/v3"
	chainv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/filter_chain/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/heddle-mesh/heddle/data/proxy/config"
)

// defaultCheckTimeout is Envoy's for a question by gRPC.
const defaultCheckTimeout = 200 * time.Millisecond

// extAuthz reads who is asked about requests.
func (r *read) extAuthz(path string, m *extauthzv3.ExtAuthz) *config.ExtAuthz {
	c := &config.ExtAuthz{FailOpen: m.GetFailureModeAllow(), StatusOnError: 403, Headers: r.matchers(path+".allowed_headers", m.GetAllowedHeaders()), Body: m.GetWithRequestBody().GetMaxRequestBytes()}
	if b := m.GetWithRequestBody(); b != nil && c.Body == 0 {
		r.add(path+".with_request_body.max_request_bytes", "it must be above 0")
	}
	if s := m.GetStatusOnError(); s != nil {
		if c.StatusOnError = int(s.GetCode()); c.StatusOnError < 200 || c.StatusOnError > 599 {
			r.add(path+".status_on_error.code", "%d is not a status from 200 to 599", c.StatusOnError)
		}
	}
	switch s := m.GetServices().(type) {
	case *extauthzv3.ExtAuthz_GrpcService:
		p := path + ".grpc_service"
		c.GRPC, c.Timeout = true, r.duration(p+".timeout", s.GrpcService.GetTimeout(), defaultCheckTimeout)
		if c.Cluster = s.GrpcService.GetEnvoyGrpc().GetClusterName(); c.Cluster == "" {
			r.add(p, "want envoy_grpc with a cluster")
		}
	case *extauthzv3.ExtAuthz_HttpService:
		p, uri := path+".http_service", s.HttpService.GetServerUri()
		c.Cluster, c.Timeout, c.Prefix = uri.GetCluster(), r.duration(p+".server_uri.timeout", uri.GetTimeout(), 0), s.HttpService.GetPathPrefix()
		if c.Cluster == "" {
			r.add(p+".server_uri.cluster", "it is empty")
		}
		if c.Prefix != "" && c.Prefix[0] != '/' {
			r.add(p+".path_prefix", "%q does not begin with a slash", c.Prefix)
		}
		answer := s.HttpService.GetAuthorizationResponse()
		c.Upstream, c.Client = r.matchers(p+".authorization_response.allowed_upstream_headers", answer.GetAllowedUpstreamHeaders()), r.matchers(p+".authorization_response.allowed_client_headers", answer.GetAllowedClientHeaders())
	default:
		r.add(path, "neither grpc_service nor http_service is set")
	}
	if m.GetTransportApiVersion() != corev3.ApiVersion_V3 && c.GRPC {
		r.add(path+".transport_api_version", "want V3")
	}
	return c
}

func (r *read) matchers(path string, m *matcherv3.ListStringMatcher) (out []*config.StringMatch) {
	for i, p := range m.GetPatterns() {
		out = append(out, r.stringMatch(at(path, "patterns", i), p))
	}
	return out
}

// checks reads a route's chain of filters, all of which ask about requests.
func (r *read) checks(path string, m *chainv3.FilterChainConfigPerRoute) (out []*config.ExtAuthz) {
	for i, f := range m.GetFilterChain().GetFilters() {
		p := at(path, "filter_chain.filters", i) + ".typed_config"
		if c, ok := into[*extauthzv3.ExtAuthz](&r.problems, p, f.GetTypedConfig()); ok {
			out = append(out, r.extAuthz(p, c))
		}
	}
	if len(out) == 0 {
		r.add(path+".filter_chain.filters", "there is none")
	}
	return out
}
