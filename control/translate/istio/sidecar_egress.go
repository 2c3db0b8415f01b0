package istio

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/heddle-mesh/heddle/mesh"
	networking "istio.io/api/networking/v1alpha3"
)

func (v *visit) egress(s *mesh.SidecarScope, x *networking.IstioEgressListener, path string) {
	out := mesh.EgressListener{Capture: v.captureMode(x.GetCaptureMode(), path+".captureMode")}
	if x == nil || len(x.Hosts) == 0 {
		v.Add(mesh.CodeInvalid, path+".hosts", `write "*/*" for everything, or "~/*" for nothing`, "the listener has no host")
		return
	}
	for i, text := range x.Hosts {
		if h, ok := v.imported(text, at(path+".hosts", i)); ok {
			out.Hosts = append(out.Hosts, h)
		}
	}
	v.egressBind(&out, x, path)
	v.egressPort(&out, x.Port, path+".port")
	if n := len(s.Egress); n > 0 && s.Egress[n-1].Port == 0 && s.Egress[n-1].Bind.IsZero() {
		v.Add(mesh.CodeInvalid, path, "put the listener without a port last", "it comes after the listener for every port, so it would have no effect")
	}
	if slices.ContainsFunc(s.Egress, func(e mesh.EgressListener) bool { return e.Port == out.Port && (e.Port != 0 || e.Bind == out.Bind) }) {
		v.Invalid(path, "another listener has this port")
	}
	s.Egress = append(s.Egress, out)
}

func (v *visit) egressBind(out *mesh.EgressListener, x *networking.IstioEgressListener, path string) {
	if x.Bind == "" {
		return
	}
	a, err := mesh.ParseAddress(x.Bind)
	if err != nil || a.Kind() == mesh.AddrHostname {
		v.Invalid(path+".bind", "%q is neither an IP address nor unix:///PATH", shorten(x.Bind))
		return
	}
	out.Bind = a
	switch socket := a.Kind() == mesh.AddrUnix; {
	case x.Port == nil:
		v.Invalid(path+".port", "a listener with bind needs a port; for a unix socket its number is 0")
	case socket && x.Port.Number != 0:
		v.Invalid(path+".port.number", "a unix socket has no port: the number is 0")
	case socket && out.Capture == mesh.CaptureRedirect:
		v.Invalid(path+".captureMode", "nothing can be captured for a unix socket")
	}
}

func (v *visit) egressPort(out *mesh.EgressListener, x *networking.SidecarPort, path string) {
	if x == nil {
		if out.Capture == mesh.CaptureNone {
			v.NotEnforced(strings.TrimSuffix(path, ".port")+".captureMode", "a listener for every port cannot be dialled, so it gets what is captured")
			out.Capture = mesh.CaptureDefault
		}
		return
	}
	v.targetPort(x.TargetPort, path+".targetPort") //nolint:staticcheck // deprecated, and still written by users
	if out.Name = x.Name; out.Bind.Kind() != mesh.AddrUnix {
		out.Port = v.port(x.Number, path+".number")
	}
	word := strings.ToUpper(x.Protocol)
	p, ok := serverProtocols[word]
	if out.Proxy = word == "HTTP_PROXY"; out.Proxy {
		p, ok = mesh.HTTP, true
	}
	if !ok {
		v.Add(mesh.CodeInvalid, path+".protocol", "use HTTP, HTTPS, HTTP2, GRPC, GRPC-WEB, TLS, TCP, MONGO or HTTP_PROXY", "%q is not a protocol of a listener", shorten(x.Protocol))
	}
	out.Protocol = p
	if out.Proxy && out.Capture == mesh.CaptureDefault && out.Bind.IsZero() {
		out.Bind = mesh.IPAddress(netip.AddrFrom4([4]byte{127, 0, 0, 1}))
	}
}

// imported reads NAMESPACE/HOST. "~" in front of a namespace makes it an exception; alone it is one from every namespace.
func (v *visit) imported(text, path string) (mesh.Import, bool) {
	space, name, ok := strings.Cut(text, "/")
	if !ok {
		v.Add(mesh.CodeInvalid, path, `write "./`+shorten(text)+`" or "*/`+shorten(text)+`"`, "%q is not NAMESPACE/HOST", shorten(text))
		return mesh.Import{}, false
	}
	var out mesh.Import
	space, out.Except = strings.CutPrefix(space, "~")
	switch {
	case space == "" && out.Except:
		out.Namespace = mesh.Everywhere
	case space == "*" || space == "." || dnsLabel(space):
		out.Namespace = mesh.Namespace(space)
	default:
		v.Add(mesh.CodeInvalid, path, `write a namespace, ".", "*" or "~"`, "%q is not a namespace", shorten(space))
		return out, false
	}
	h, err := mesh.ParseHost(name)
	if err != nil {
		v.Invalid(path, "%q is not a host name", shorten(name))
		return out, false
	}
	if !h.IsWildcard() && !strings.Contains(string(h), ".") {
		v.Add(mesh.CodeNotFound, path, "write "+string(h)+".NAMESPACE.svc."+domain(v.in), "%q is not resolved in a Sidecar, so it means no service", name)
	}
	out.Host = h
	return out, true
}
