package decode

import (
	"sort"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	compressorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/compressor/v3"
	corsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/cors/v3"
	faultv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/fault/v3"
	chainv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/filter_chain/v3"
	httprbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	sessionv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/stateful_session/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/heddle-mesh/heddle/data/proxy/accesslog"
	"github.com/heddle-mesh/heddle/data/proxy/config"
)

// Envoy's defaults for routes.
const (
	defaultRouteTimeout = 15 * time.Second
	defaultDirectBody   = 4096
)

func (r *read) routeTable(path string, m *routev3.RouteConfiguration) *config.RouteTable {
	t := &config.RouteTable{
		Name: m.GetName(), MostSpecific: m.GetMostSpecificHeaderMutationsWins(), IgnorePort: m.GetIgnorePortInHostMatching(), VHDS: m.GetVhds() != nil,
		Headers: r.edits(path, m.GetRequestHeadersToAdd(), m.GetRequestHeadersToRemove(), m.GetResponseHeadersToAdd(), m.GetResponseHeadersToRemove()),
	}
	if t.VHDS {
		t.HostsWait = r.adsOnly(join(path, "vhds.config_source"), m.GetVhds().GetConfigSource())
	}
	limit := int(number(m.GetMaxDirectResponseBodySizeBytes(), defaultDirectBody))
	taken := map[string]string{}
	for i, h := range m.GetVirtualHosts() {
		p := at(path, "virtual_hosts", i)
		host := r.virtualHost(p, h, limit)
		for j, d := range host.Domains {
			if other, ok := taken[d]; ok {
				r.add(at(p, "domains", j), "%q belongs to virtual host %q already", d, other)
			}
			taken[d] = host.Name
		}
		t.Hosts = append(t.Hosts, host)
	}
	return t
}

// virtualHost reads a virtual host. directLimit bounds the bodies of direct responses (max_direct_response_body_size_bytes of its route configuration).
func (r *read) virtualHost(path string, m *routev3.VirtualHost, directLimit int) *config.VirtualHost {
	h := &config.VirtualHost{
		Name: m.GetName(), Headers: r.edits(path, m.GetRequestHeadersToAdd(), m.GetRequestHeadersToRemove(), m.GetResponseHeadersToAdd(), m.GetResponseHeadersToRemove()),
		IncludeAttemptCount: m.GetIncludeRequestAttemptCount(), AttemptCountResponse: m.GetIncludeAttemptCountInResponse(), RequireTLS: m.GetRequireTls() == routev3.VirtualHost_ALL,
		PerFilter: r.perFilter(join(path, "typed_per_filter_config"), m.GetTypedPerFilterConfig()), Retry: r.retry(join(path, "retry_policy"), m.GetRetryPolicy()),
		Hedge: m.GetHedgePolicy().GetHedgeOnPerTryTimeout(),
	}
	if len(m.GetDomains()) == 0 {
		r.add(join(path, "domains"), "a virtual host needs a domain")
	}
	for i, d := range m.GetDomains() {
		if d != "*" && strings.Count(d, "*") > 0 && !(strings.Count(d, "*") == 1 && (d[0] == '*' || d[len(d)-1] == '*')) || d == "" {
			r.add(at(path, "domains", i), "%q: a wildcard may stand at the beginning or at the end", d)
		}
		h.Domains = append(h.Domains, strings.ToLower(d))
	}
	for i, route := range m.GetRoutes() {
		one := r.route(at(path, "routes", i), route, directLimit)
		inheritCORS(h, one)
		if one.BodyLimit == nil {
			one.BodyLimit = bodyLimit(m)
		}
		h.Routes = append(h.Routes, one)
	}
	return h
}

// bodyLimit reads the limit of a route or a virtual host.
func bodyLimit(m interface {
	GetRequestBodyBufferLimit() *wrapperspb.UInt64Value
	GetPerRequestBufferLimitBytes() *wrapperspb.UInt32Value
}) *uint64 {
	if v := m.GetRequestBodyBufferLimit(); v != nil {
		n := v.GetValue()
		return &n
	}
	if v := m.GetPerRequestBufferLimitBytes(); v != nil {
		n := uint64(v.GetValue())
		return &n
	}
	return nil
}

func (r *read) route(path string, m *routev3.Route, directLimit int) *config.Route {
	out := &config.Route{
		Operation: m.GetDecorator().GetOperation(), Silent: m.GetDecorator() != nil && !boolean(m.GetDecorator().GetPropagate(), true),
		Name: m.GetName(), StatPrefix: m.GetStatPrefix(), Match: r.routeMatch(path+".match", m.GetMatch()), PerFilter: r.perFilter(path+".typed_per_filter_config", m.GetTypedPerFilterConfig()),
		Headers:   r.edits(path, m.GetRequestHeadersToAdd(), m.GetRequestHeadersToRemove(), m.GetResponseHeadersToAdd(), m.GetResponseHeadersToRemove()),
		BodyLimit: bodyLimit(m),
		Origin:    m.GetMetadata().GetFilterMetadata()["istio"].GetFields()["config"].GetStringValue(),
	}
	switch a := m.GetAction().(type) {
	case *routev3.Route_Route:
		out.Forward = r.forward(path+".route", a.Route)
	case *routev3.Route_Redirect:
		out.Redirect = r.redirect(path+".redirect", a.Redirect)
	case *routev3.Route_DirectResponse:
		d := a.DirectResponse
		out.Direct = &config.Direct{Status: int(d.GetStatus()), Body: r.data(path+".direct_response.body", d.GetBody())}
		if d.GetStatus() < 200 || d.GetStatus() > 599 {
			r.add(path+".direct_response.status", "%d is not a status from 200 to 599", d.GetStatus())
		}
		if len(out.Direct.Body) > directLimit {
			r.add(path+".direct_response.body", "%d bytes are above the limit of %d (max_direct_response_body_size_bytes)", len(out.Direct.Body), directLimit)
		}
	default:
		r.add(path, "none of route, redirect and direct_response is set")
	}
	return out
}

// perFilter reads per-route configuration. It is found by its type: the name of the filter that it is for is the user's own choice.
func (r *read) perFilter(path string, m map[string]*anypb.Any) (out config.PerFilter) {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		p := path + "[\"" + name + "\"]"
		inner, err := open(m[name])
		if err != nil {
			continue
		}
		if f, ok := inner.(*routev3.FilterConfig); ok {
			if inner, err = open(f.GetConfig()); err != nil {
				continue
			}
			p += ".config"
		}
		switch c := inner.(type) {
		case *faultv3.HTTPFault:
			out.Fault = r.fault(p, c)
		case *compressorv3.CompressorPerRoute:
			out.Compressor = compressorRoute(c)
		case *chainv3.FilterChainConfigPerRoute:
			out.Checks = r.checks(p, c)
		case *sessionv3.StatefulSessionPerRoute:
			out.Session = r.sessionOf(p, c)
		case *corsv3.CorsPolicy:
			out.CORS = r.cors(p, c)
		case *httprbacv3.RBACPerRoute:
			out.RBAC, out.RBACDisable = r.httpRBAC(p+".rbac", c.GetRbac()), c.GetRbac() == nil
			for field, prefix := range map[string]string{"rules_stat_prefix": c.GetRbac().GetRulesStatPrefix(), "shadow_rules_stat_prefix": c.GetRbac().GetShadowRulesStatPrefix()} {
				if prefix != "" {
					r.add(p+".rbac."+field, "a route's decisions are counted by the filter")
				}
			}
		default:
			r.add(p, "%s is not supported on a route", inner.ProtoReflect().Descriptor().FullName())
		}
	}
	return out
}

func (r *read) edits(path string, addRequest []*corev3.HeaderValueOption, removeRequest []string, addResponse []*corev3.HeaderValueOption, removeResponse []string) config.HeaderEdits {
	return config.HeaderEdits{
		Request: r.headerSets(join(path, "request_headers_to_add"), addRequest), Response: r.headerSets(join(path, "response_headers_to_add"), addResponse),
		RequestRemove: r.headerNames(join(path, "request_headers_to_remove"), removeRequest), ResponseRemove: r.headerNames(join(path, "response_headers_to_remove"), removeResponse),
	}
}

func (r *read) headerNames(path string, names []string) (out []string) {
	for i, n := range names {
		n = strings.ToLower(n)
		r.editable(path+indexed(i), n)
		out = append(out, n)
	}
	return out
}

// editable refuses what Envoy refuses: the pseudo-headers and host belong to routing.
func (r *read) editable(path, name string) {
	if name == "" || name[0] == ':' || name == "host" {
		r.add(path, "the header %q cannot be edited", name)
	}
}

func (r *read) headerSets(path string, list []*corev3.HeaderValueOption) (out []config.HeaderSet) {
	for i, o := range list {
		p := path + indexed(i)
		s := config.HeaderSet{Name: strings.ToLower(o.GetHeader().GetKey()), Value: o.GetHeader().GetValue(), Action: config.HeaderAction(o.GetAppendAction()), KeepEmpty: o.GetKeepEmptyValue()}
		r.editable(p+".header.key", s.Name)
		if o.GetAppend() != nil && !o.GetAppend().GetValue() { // the deprecated form of append_action
			s.Action = config.OverwriteOrAdd
		}
		if strings.Contains(s.Value, "%") {
			f, err := accesslog.Text(s.Value, false)
			if err != nil {
				r.add(p+".header.value", "%v", err)
			}
			s.Format = f
		}
		if strings.ContainsAny(s.Value, "\r\n\x00") {
			r.add(p+".header.value", "it holds a line end")
		}
		out = append(out, s)
	}
	return out
}

func (r *read) redirect(path string, m *routev3.RedirectAction) *config.Redirect {
	out := &config.Redirect{HTTPS: m.GetHttpsRedirect(), Scheme: m.GetSchemeRedirect(), Host: m.GetHostRedirect(), Path: m.GetPathRedirect(), StripQuery: m.GetStripQuery()}
	if n := m.GetPortRedirect(); n != 0 {
		out.Port = r.port(path+".port_redirect", n)
	}
	if p, ok := m.GetPathRewriteSpecifier().(*routev3.RedirectAction_PrefixRewrite); ok {
		out.PrefixRewrite = &p.PrefixRewrite
	}
	out.RegexRewrite = r.substitution(path+".regex_rewrite", m.GetRegexRewrite())
	out.Code = map[routev3.RedirectAction_RedirectResponseCode]int{
		routev3.RedirectAction_MOVED_PERMANENTLY: 301, routev3.RedirectAction_FOUND: 302, routev3.RedirectAction_SEE_OTHER: 303,
		routev3.RedirectAction_TEMPORARY_REDIRECT: 307, routev3.RedirectAction_PERMANENT_REDIRECT: 308,
	}[m.GetResponseCode()]
	if out.Code == 0 {
		r.add(path+".response_code", "%d is unknown", m.GetResponseCode())
	}
	return out
}
