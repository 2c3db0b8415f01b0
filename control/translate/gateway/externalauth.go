package gateway

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/heddle-mesh/heddle/mesh"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// pathForm is that of HTTPAuthConfig.path.
var pathForm = regexp.MustCompile(`^(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|%[0-9a-fA-F]{2})+$`)

// externalAuth follows HTTPExternalAuthFilter (GEP-1494). A server that cannot be asked denies: the rule fails.
func (v *routeVisit) externalAuth(r *mesh.HTTPRule, x *gwv1.HTTPExternalAuthFilter, path string) {
	if len(r.Auth) > 0 {
		v.Invalid(path, "a rule can have one filter of this type")
		return
	}
	a := mesh.ExternalAuth{}
	switch {
	case x.GRPCAuthConfig != nil && x.HTTPAuthConfig != nil:
		v.Invalid(path, "only one of grpc and http may be given")
	case x.ExternalAuthProtocol == gwv1.HTTPRouteExternalAuthGRPCProtocol:
		if a.GRPC = true; x.HTTPAuthConfig != nil {
			v.Invalid(path+".http", "the protocol is GRPC")
		}
		if c := x.GRPCAuthConfig; c != nil {
			a.Headers = v.headerNames(c.AllowedRequestHeaders, path+".grpc.allowedHeaders")
		}
	case x.ExternalAuthProtocol == gwv1.HTTPRouteExternalAuthHTTPProtocol:
		if x.GRPCAuthConfig != nil {
			v.Invalid(path+".grpc", "the protocol is HTTP")
		}
		if c := x.HTTPAuthConfig; c != nil {
			a.Path = v.authPath(c.Path, path+".http.path")
			a.Headers = v.headerNames(c.AllowedRequestHeaders, path+".http.allowedHeaders")
			a.Answers = v.headerNames(c.AllowedResponseHeaders, path+".http.allowedResponseHeaders")
		}
	default:
		v.impossible(string(gwv1.RouteReasonUnsupportedValue), path+".protocol", "%q is not a protocol of authorization", x.ExternalAuthProtocol)
		return
	}
	if x.ForwardBody != nil {
		a.Body = uint32(x.ForwardBody.MaxSize)
	}
	if a.Backend = v.backend(x.BackendRef, path+".backendRef"); a.Backend.Invalid == "" && a.GRPC {
		v.speaksGRPC(&a.Backend, path+".backendRef.port")
	}
	r.Auth = append(r.Auth, a)
}

// speaksGRPC wants a port that is asked in HTTP/2.
func (v *routeVisit) speaksGRPC(b *mesh.Backend, path string) {
	svc, ok := v.in.Service(b.Host, b.Service.Namespace)
	if !ok {
		return
	}
	if p, ok := svc.Port(b.Port); ok && p.Protocol != mesh.GRPC && p.Protocol != mesh.HTTP2 {
		v.impossible(string(gwv1.RouteReasonUnsupportedProtocol), path, "port %d of %s is not declared to be for gRPC (appProtocol grpc, or a name that begins with grpc)", b.Port, b.Host)
	}
}

func (v *routeVisit) authPath(p, path string) string {
	if p == "" {
		return ""
	}
	if !strings.HasPrefix(p, "/") {
		p = "/" + p
	}
	if !pathForm.MatchString(p) || strings.Contains(p, "//") || slices.ContainsFunc(strings.Split(p, "/"), func(s string) bool { return s == "." || s == ".." }) {
		v.Invalid(path, "%q is not the beginning of a normalised path", p)
	}
	return strings.TrimSuffix(p, "/")
}

// headerNames are names in lower case, ordered, each once.
func (v *routeVisit) headerNames(list []string, path string) (out []string) {
	for i, n := range list {
		out = append(out, strings.ToLower(v.token(n, fmt.Sprintf("%s[%d]", path, i), "header name")))
	}
	slices.Sort(out)
	return slices.Compact(out)
}
