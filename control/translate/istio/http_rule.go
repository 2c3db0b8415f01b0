package istio

import (
	"fmt"
	"strings"

	"github.com/heddle-mesh/heddle/mesh"
	networking "istio.io/api/networking/v1alpha3"
)

func (v *visit) httpRule(h *networking.HTTPRoute, spec *networking.VirtualService, path string) (mesh.HTTPRule, bool) {
	r := mesh.HTTPRule{Name: h.Name}
	keep := v.httpMatches(&r, h, spec, path)
	if !v.oneAction(h, path) {
		return r, false
	}
	r.Redirect = v.redirect(h, path+".redirect")
	r.Direct = v.direct(h.DirectResponse, path+".directResponse")
	r.Rewrite = v.rewrite(h.Rewrite, path+".rewrite")
	r.Headers = v.headers(h.Headers, path+".headers")
	v.authorityHeader(&r, path)
	v.backends(&r, h, path)
	if h.Timeout != nil {
		t := h.Timeout.AsDuration()
		if t < 0 {
			v.Invalid(path+".timeout", "%s is negative", t)
		}
		r.Timeout = &t
	}
	r.Retry = v.retry(h.Retries, path+".retries")
	r.Fault = v.fault(h.Fault, path+".fault")
	r.CORS = v.cors(h, path+".corsPolicy")
	v.mirrors(&r, h, path)
	if !keep {
		v.dropped(path, "the rule")
	}
	return r, keep
}

// httpMatches reads the conditions. A condition with a field that is not honoured would match more than it says, so it is left out; it returns false when
// conditions were given and none is left.
func (v *visit) httpMatches(r *mesh.HTTPRule, h *networking.HTTPRoute, spec *networking.VirtualService, path string) bool {
	for i, m := range h.Match {
		at := at(path+".match", i)
		if m == nil {
			v.Invalid(at, "the match is empty")
			continue
		}
		match := v.httpMatch(m, spec, at)
		if v.drops(at) {
			v.dropped(at, "the match")
			continue
		}
		r.Matches = append(r.Matches, match)
	}
	return len(h.Match) == 0 || len(r.Matches) > 0
}

func (v *visit) httpMatch(m *networking.HTTPMatchRequest, spec *networking.VirtualService, path string) mesh.HTTPMatch {
	out := mesh.HTTPMatch{
		Name:            m.Name,
		StatPrefix:      m.StatPrefix,
		Path:            v.stringMatch(m.Uri, m.IgnoreUriCase, path+".uri"),
		Scheme:          v.stringMatch(m.Scheme, false, path+".scheme"),
		Method:          v.stringMatch(m.Method, false, path+".method"),
		Authority:       v.stringMatch(m.Authority, false, path+".authority"),
		SourceLabels:    m.SourceLabels,
		SourceNamespace: mesh.Namespace(m.SourceNamespace),
		Query:           v.named(m.QueryParams, false, false, path+".queryParams"),
	}
	out.Headers = append(v.named(m.Headers, false, true, path+".headers"), v.named(m.WithoutHeaders, true, true, path+".withoutHeaders")...)
	if m.Port != 0 {
		out.Port = v.port(m.Port, path+".port")
	}
	out.Gateways, out.Mesh, _ = v.matchGateways(m.Gateways, spec, path+".gateways")
	return out
}

// named reads conditions on headers or query parameters; one without a value asks for presence.
func (v *visit) named(m map[string]*networking.StringMatch, without, header bool, path string) []mesh.NamedMatch {
	var out []mesh.NamedMatch
	for _, name := range sorted(m) {
		n := mesh.NamedMatch{Name: name, Match: v.stringMatch(m[name], false, keyed(path, name)), Without: without}
		if header {
			n.Name = strings.ToLower(name)
			switch {
			case !headerName(name):
				v.Invalid(keyed(path, name), "%q is not a header name", name)
			case n.Name == "uri" || n.Name == "scheme" || n.Name == "method" || n.Name == "authority":
				v.Add(mesh.CodeInvalid, keyed(path, name), "use the match's field "+n.Name, "a condition on %s is not one on a header", n.Name)
			}
		}
		if n.Match.Value == "" || n.Match.Kind == mesh.MatchRegex && n.Match.Value == "*" {
			n.Match = mesh.StringMatch{Kind: mesh.MatchPresent}
		}
		out = append(out, n)
	}
	return out
}

// oneAction checks that the rule does exactly one thing.
func (v *visit) oneAction(h *networking.HTTPRoute, path string) bool {
	var actions []string
	if len(h.Route) > 0 {
		actions = append(actions, "route")
	}
	if h.Redirect != nil {
		actions = append(actions, "redirect")
	}
	if h.DirectResponse != nil {
		actions = append(actions, "directResponse")
	}
	if h.Delegate != nil {
		actions = append(actions, "delegate")
	}
	switch {
	case len(actions) == 0:
		v.Add(mesh.CodeInvalid, path, "give one of route, redirect, directResponse and delegate", "the rule does nothing")
	case len(actions) > 1:
		v.Invalid(path, "the rule has %s, and only one of them is possible", strings.Join(actions, " and "))
	default:
		if h.Redirect != nil && h.Rewrite != nil {
			v.Invalid(path+".rewrite", "a rule that redirects cannot rewrite")
		}
		return true
	}
	return false
}

func (v *visit) backends(r *mesh.HTTPRule, h *networking.HTTPRoute, path string) {
	total := uint64(0)
	for i, d := range h.Route {
		at := at(path+".route", i)
		if d.GetDestination() == nil {
			v.Invalid(at+".destination", "the destination is missing")
			continue
		}
		b := v.backend(d.Destination, at+".destination")
		b.Weight = v.count(d.Weight, at+".weight")
		b.Headers = v.headers(d.Headers, at+".headers")
		if name := authorityEdit(b.Headers.Request); name != "" {
			v.Add(mesh.CodeInvalid, at+".headers.request", "use rewrite.authority", "header %s cannot be changed for one destination", name)
		}
		total += uint64(b.Weight)
		r.Backends = append(r.Backends, b)
	}
	switch {
	case len(r.Backends) == 1 && total == 0:
		r.Backends[0].Weight = 100
	case len(r.Backends) > 1 && total == 0:
		v.Add(mesh.CodeInvalid, path+".route", "give weights above 0", "the weights of the %d destinations add up to 0", len(r.Backends))
	case total > 1<<32-1:
		v.Invalid(path+".route", "the weights add up to %d, which is more than 4294967295", total)
	}
}

func (v *visit) mirrors(r *mesh.HTTPRule, h *networking.HTTPRoute, path string) {
	const all = 1_000_000
	if h.Mirror != nil {
		m := mesh.Mirror{Backend: v.backend(h.Mirror, path+".mirror"), Percent: all}
		switch {
		case h.MirrorPercentage != nil:
			m.Percent = v.percent(h.MirrorPercentage, path+".mirrorPercentage")
		case h.MirrorPercent != nil: //nolint:staticcheck // deprecated, and still written by users
			n := h.MirrorPercent.Value //nolint:staticcheck
			if n > 100 {
				v.Invalid(path+".mirrorPercent", "%d is not a percentage from 0 to 100", n)
			}
			m.Percent = min(n, 100) * 10_000
		}
		r.Mirrors = append(r.Mirrors, m)
		if len(h.Mirrors) > 0 {
			v.Invalid(path+".mirrors", "only one of mirror and mirrors may be given")
		}
	} else if h.MirrorPercentage != nil {
		v.Invalid(path+".mirrorPercentage", "there is no mirror that it could belong to")
	}
	for i, p := range h.Mirrors {
		at := at(path+".mirrors", i)
		if p.GetDestination() == nil {
			v.Invalid(at+".destination", "the destination is missing")
			continue
		}
		m := mesh.Mirror{Backend: v.backend(p.Destination, at+".destination"), Percent: all}
		if p.Percentage != nil {
			m.Percent = v.percent(p.Percentage, at+".percentage")
		}
		r.Mirrors = append(r.Mirrors, m)
	}
}

func (v *visit) redirect(h *networking.HTTPRoute, path string) *mesh.Redirect {
	x := h.Redirect
	if x == nil {
		return nil
	}
	r := &mesh.Redirect{Scheme: x.Scheme, Host: x.Authority, Path: x.Uri, Code: 301}
	switch x.RedirectCode {
	case 0:
	case 301, 302, 303, 307, 308:
		r.Code = uint16(x.RedirectCode)
	default:
		v.Add(mesh.CodeInvalid, path+".redirectCode", "use 301, 302, 303, 307 or 308", "%d is not a redirect code", x.RedirectCode)
	}
	switch p := x.RedirectPort.(type) {
	case *networking.HTTPRedirect_Port:
		r.Port = v.port(p.Port, path+".port")
	case *networking.HTTPRedirect_DerivePort:
		r.DerivePort = mesh.PortOfScheme
		if p.DerivePort == networking.HTTPRedirect_FROM_REQUEST_PORT {
			r.DerivePort = mesh.PortOfListener
		}
	}
	if x.PrefixRewrite != "" {
		r.PrefixRewrite = &x.PrefixRewrite
		if x.Uri != "" {
			v.Invalid(path+".prefixRewrite", "only one of uri and prefixRewrite may be given")
		}
		for i, m := range h.Match {
			if m.GetUri().GetPrefix() == "" {
				v.Invalid(fmt.Sprintf("%s.prefixRewrite", path), "it needs a prefix to replace, and match[%d] has no uri.prefix", i)
			}
		}
		if len(h.Match) == 0 {
			v.Invalid(path+".prefixRewrite", "it needs a match with uri.prefix to replace")
		}
	}
	if x.Uri == "" && x.PrefixRewrite == "" && x.Authority == "" && x.Scheme == "" && x.RedirectPort == nil {
		v.Invalid(path, "the redirect changes nothing")
	}
	return r
}

func (v *visit) direct(x *networking.HTTPDirectResponse, path string) *mesh.DirectResponse {
	if x == nil {
		return nil
	}
	if x.Status < 200 || x.Status > 599 {
		v.Invalid(path+".status", "%d is not a status from 200 to 599", x.Status)
		return nil
	}
	d := &mesh.DirectResponse{Status: uint16(x.Status)}
	switch b := x.Body.GetSpecifier().(type) {
	case *networking.HTTPBody_String_:
		d.Body = []byte(b.String_)
	case *networking.HTTPBody_Bytes:
		d.Body = b.Bytes
	}
	if len(d.Body) > 1<<20 {
		v.Invalid(path+".body", "the body has %d bytes; at most 1 MiB can be sent", len(d.Body))
	}
	return d
}

func (v *visit) rewrite(x *networking.HTTPRewrite, path string) *mesh.Rewrite {
	if x == nil {
		return nil
	}
	r := &mesh.Rewrite{Authority: x.Authority}
	if x.Uri != "" {
		r.Path = &x.Uri
	}
	if e := x.UriRegexRewrite; e != nil {
		v.regex(e.Match, path+".uriRegexRewrite.match")
		r.Regex, r.RegexReplaced = e.Match, e.Rewrite
		if e.Match == "" || e.Rewrite == "" {
			v.Invalid(path+".uriRegexRewrite", "both match and rewrite are needed")
		}
		if x.Uri != "" {
			v.Invalid(path, "only one of uri and uriRegexRewrite may be given")
		}
	}
	if r.Authority == "" && r.Path == nil && r.Regex == "" {
		v.Invalid(path, "the rewrite changes nothing")
	}
	return r
}
