package gateway

import (
	"fmt"
	"slices"
	"strings"

	"github.com/heddle-mesh/heddle/mesh"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"
)

func (v *routeVisit) filter(r *mesh.HTTPRule, f *gwv1.HTTPRouteFilter, path string) {
	if n := members(f); n > 1 {
		v.Invalid(path, "a filter has the settings of one type, and this one has those of %d", n)
		return
	}
	missing := func() { v.Invalid(path, "the filter's type is %s, and its settings are missing", f.Type) }
	switch f.Type {
	case gwv1.HTTPRouteFilterRequestHeaderModifier:
		if f.RequestHeaderModifier == nil {
			missing()
			return
		}
		v.modify(&r.Headers.Request, f.RequestHeaderModifier, path+".requestHeaderModifier")
	case gwv1.HTTPRouteFilterResponseHeaderModifier:
		if f.ResponseHeaderModifier == nil {
			missing()
			return
		}
		v.modify(&r.Headers.Response, f.ResponseHeaderModifier, path+".responseHeaderModifier")
	case gwv1.HTTPRouteFilterRequestRedirect:
		if f.RequestRedirect == nil || r.Redirect != nil {
			missing()
			return
		}
		r.Redirect = v.redirect(f.RequestRedirect, path+".requestRedirect")
	case gwv1.HTTPRouteFilterURLRewrite:
		if f.URLRewrite == nil || r.Rewrite != nil {
			missing()
			return
		}
		r.Rewrite = v.rewrite(f.URLRewrite, path+".urlRewrite")
	case gwv1.HTTPRouteFilterRequestMirror:
		if f.RequestMirror == nil {
			missing()
			return
		}
		v.mirror(r, f.RequestMirror, path+".requestMirror")
	case gwv1.HTTPRouteFilterCORS:
		if f.CORS == nil {
			missing()
			return
		}
		if r.CORS != nil {
			v.Invalid(path, "a rule can have one filter of this type")
		}
		r.CORS = v.cors(f.CORS, path+".cors")
	case gwv1.HTTPRouteFilterExternalAuth:
		if f.ExternalAuth == nil {
			missing()
			return
		}
		v.externalAuth(r, f.ExternalAuth, path+".externalAuth")
	case gwv1.HTTPRouteFilterExtensionRef:
		if f.ExtensionRef == nil {
			missing()
			return
		}
		v.impossible(string(gwv1.RouteReasonUnsupportedValue), path+".extensionRef", "there are no filters of kind %s in group %q, so %s cannot be one", f.ExtensionRef.Kind, f.ExtensionRef.Group, f.ExtensionRef.Name)
	default:
		v.impossible(string(gwv1.RouteReasonUnsupportedValue), path, "filter %s is not possible yet", f.Type)
	}
}

// modify reads header edits; names are compared without case, and the first entry for a name counts.
func (v *routeVisit) modify(e *mesh.HeaderEdit, f *gwv1.HTTPHeaderFilter, path string) {
	if !e.IsZero() {
		v.Invalid(path, "a rule can have one filter of this type")
		return
	}
	e.Set, e.Add = v.headers(f.Set, path+".set"), v.headers(f.Add, path+".add")
	for i, name := range f.Remove {
		if strings.EqualFold(name, "host") || !fieldName(name) {
			v.Invalid(fmt.Sprintf("%s.remove[%d]", path, i), "header %q cannot be removed", name)
			continue
		}
		e.Remove = append(e.Remove, strings.ToLower(name))
	}
	slices.Sort(e.Remove)
}

func (v *routeVisit) headers(list []gwv1.HTTPHeader, path string) []mesh.Header {
	var out []mesh.Header
	for i, h := range list {
		name := strings.ToLower(string(h.Name))
		switch {
		case !fieldName(name) || strings.ContainsAny(h.Value, "\r\n\x00"):
			v.Invalid(fmt.Sprintf("%s[%d]", path, i), "%q with this value cannot be sent as a header", h.Name)
		case name == "host":
			v.Add(mesh.CodeInvalid, fmt.Sprintf("%s[%d]", path, i), "use the filter URLRewrite", "the host is not changed by a header filter")
		case slices.ContainsFunc(out, func(x mesh.Header) bool { return x.Name == name }):
			v.NotEnforced(fmt.Sprintf("%s[%d]", path, i), "header %s is listed already, and only the first entry counts", name)
		default:
			out = append(out, mesh.Header{Name: name, Value: h.Value})
		}
	}
	slices.SortFunc(out, func(a, b mesh.Header) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func sortNamed(list []mesh.NamedMatch) {
	slices.SortStableFunc(list, func(a, b mesh.NamedMatch) int { return strings.Compare(a.Name, b.Name) })
}

// fieldName says whether a name may be that of a header field (RFC 9110 section 5.1).
func fieldName(s string) bool {
	if s == "" {
		return false
	}
	for _, c := range []byte(s) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return true
}

// replacesPrefix says whether one of the filters, of the rule or of a backend, replaces the prefix that a match asks for.
func replacesPrefix(r *gwv1.HTTPRouteRule) bool {
	filters := slices.Clone(r.Filters)
	for i := range r.BackendRefs {
		filters = append(filters, r.BackendRefs[i].Filters...)
	}
	return slices.ContainsFunc(filters, func(f gwv1.HTTPRouteFilter) bool {
		var p *gwv1.HTTPPathModifier
		if f.RequestRedirect != nil {
			p = f.RequestRedirect.Path
		}
		if f.URLRewrite != nil {
			p = f.URLRewrite.Path
		}
		return p != nil && p.Type == gwv1.PrefixMatchHTTPPathModifier
	})
}

// redirect follows HTTPRequestRedirectFilter: without a port it is that of the scheme, or the listener's when no scheme is given.
func (v *routeVisit) redirect(x *gwv1.HTTPRequestRedirectFilter, path string) *mesh.Redirect {
	r := &mesh.Redirect{Scheme: deref(x.Scheme, ""), Host: string(deref(x.Hostname, "")), Code: 302, DerivePort: mesh.PortOfListener}
	switch r.Scheme {
	case "":
	case "http", "https":
		r.DerivePort = mesh.PortOfScheme
	default:
		v.Invalid(path+".scheme", "%q is neither http nor https", r.Scheme)
	}
	if x.Port != nil {
		r.DerivePort = mesh.PortOfHost
		if *x.Port < 1 || *x.Port > 65535 {
			v.Invalid(path+".port", "%d is not a port number", *x.Port)
		}
		r.Port = uint16(*x.Port)
	}
	switch code := deref(x.StatusCode, 302); code {
	case 301, 302, 303, 307, 308:
		r.Code = uint16(code)
	default:
		v.Invalid(path+".statusCode", "%d is not a redirect code", code)
	}
	if p := x.Path; p != nil {
		switch p.Type {
		case gwv1.FullPathHTTPPathModifier:
			r.Path = deref(p.ReplaceFullPath, "/")
		case gwv1.PrefixMatchHTTPPathModifier:
			r.PrefixRewrite = new(string)
			*r.PrefixRewrite = deref(p.ReplacePrefixMatch, "/")
		default:
			v.impossible(string(gwv1.RouteReasonUnsupportedValue), path+".path.type", "%q is not a way to change a path", p.Type)
		}
	}
	return r
}

func (v *routeVisit) rewrite(x *gwv1.HTTPURLRewriteFilter, path string) *mesh.Rewrite {
	r := &mesh.Rewrite{Authority: string(deref(x.Hostname, ""))}
	if p := x.Path; p != nil {
		var value string
		switch p.Type {
		case gwv1.FullPathHTTPPathModifier:
			value, r.FullPath = deref(p.ReplaceFullPath, "/"), true
		case gwv1.PrefixMatchHTTPPathModifier:
			value = deref(p.ReplacePrefixMatch, "/")
		default:
			v.impossible(string(gwv1.RouteReasonUnsupportedValue), path+".path.type", "%q is not a way to change a path", p.Type)
		}
		r.Path = &value
	}
	return r
}

func (v *routeVisit) mirror(r *mesh.HTTPRule, x *gwv1.HTTPRequestMirrorFilter, path string) {
	m := mesh.Mirror{Percent: 1_000_000}
	switch {
	case x.Percent != nil && x.Fraction != nil:
		v.Invalid(path, "only one of percent and fraction may be given")
	case x.Percent != nil:
		if *x.Percent < 0 || *x.Percent > 100 {
			v.Invalid(path+".percent", "%d is not a percentage from 0 to 100", *x.Percent)
		}
		m.Percent = uint32(max(0, min(100, *x.Percent))) * 10_000
	case x.Fraction != nil:
		n, d := int64(x.Fraction.Numerator), int64(deref(x.Fraction.Denominator, 100))
		if n < 0 || d <= 0 || n > d {
			v.Invalid(path+".fraction", "%d/%d is not a fraction from 0 to 1", n, d)
			n, d = 0, 1
		}
		m.Percent = uint32(n * 1_000_000 / d)
	}
	m.Backend = v.backend(x.BackendRef, path+".backendRef")
	if m.Backend.Invalid == "" { // a mirror that leads nowhere is left out; the status says so
		r.Mirrors = append(r.Mirrors, m)
	}
}

// members counts the settings that a filter has; only those of its type may be there.
func members(f *gwv1.HTTPRouteFilter) (n int) {
	for _, there := range []bool{f.RequestHeaderModifier != nil, f.ResponseHeaderModifier != nil, f.RequestMirror != nil, f.RequestRedirect != nil,
		f.URLRewrite != nil, f.CORS != nil, f.ExternalAuth != nil, f.ExtensionRef != nil} {
		if there {
			n++
		}
	}
	return n
}
