package route

import (
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/heddle-mesh/heddle/mesh"
)

// redirect is Envoy's form of a redirect. Without a host or port there, Envoy answers with those that the client wrote in its Host header.
func (p place) redirect(in *mesh.Redirect, m *mesh.HTTPMatch) *routev3.RedirectAction {
	out := &routev3.RedirectAction{HostRedirect: in.Host, ResponseCode: redirectCode(in.Code)}
	if in.Scheme != "" {
		out.SchemeRewriteSpecifier = &routev3.RedirectAction_SchemeRedirect{SchemeRedirect: in.Scheme}
	}
	p.redirectPort(out, in)
	switch {
	case in.PrefixRewrite != nil:
		if re := joinRewrite(*in.PrefixRewrite, m); re != nil {
			out.PathRewriteSpecifier = &routev3.RedirectAction_RegexRewrite{RegexRewrite: re}
		} else {
			out.PathRewriteSpecifier = &routev3.RedirectAction_PrefixRewrite{PrefixRewrite: *in.PrefixRewrite}
		}
	case in.Path != "":
		out.PathRewriteSpecifier = &routev3.RedirectAction_PathRedirect{PathRedirect: in.Path}
	}
	return out
}

// redirectPort settles which port the location names: the one that is written, the listener's, or that of the scheme. A port that goes without saying is
// left out (Gateway API, HTTPRequestRedirectFilter.port) where that leaves no other: with a host that is written or is the only one here, or where
// clients have no reason to write a port.
func (p place) redirectPort(out *routev3.RedirectAction, in *mesh.Redirect) {
	scheme := in.Scheme
	if scheme == "" {
		scheme = p.scheme()
	}
	port := in.Port
	switch {
	case port != 0:
	case in.DerivePort == mesh.PortOfListener:
		port = p.port
	case in.DerivePort == mesh.PortOfScheme && wellKnown(scheme) != 0:
		port = wellKnown(scheme)
	case in.DerivePort == mesh.PortOfScheme:
		port = p.port
	default:
		return // the client's
	}
	if port != wellKnown(scheme) {
		out.PortRedirect = uint32(port)
		return
	}
	if out.HostRedirect == "" {
		out.HostRedirect = p.host
	}
	if out.HostRedirect == "" && p.port != wellKnown(p.scheme()) {
		out.PortRedirect = uint32(port)
	}
}

// scheme is that of the requests here.
func (p place) scheme() string {
	if p.tls {
		return "https"
	}
	return "http"
}

// wellKnown is the port of a scheme, 0 when it has none.
func wellKnown(scheme string) uint16 {
	switch scheme {
	case "http":
		return 80
	case "https":
		return 443
	}
	return 0
}

func redirectCode(code uint16) routev3.RedirectAction_RedirectResponseCode {
	switch code {
	case 302:
		return routev3.RedirectAction_FOUND
	case 303:
		return routev3.RedirectAction_SEE_OTHER
	case 307:
		return routev3.RedirectAction_TEMPORARY_REDIRECT
	case 308:
		return routev3.RedirectAction_PERMANENT_REDIRECT
	}
	return routev3.RedirectAction_MOVED_PERMANENTLY
}
