package istio

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/heddle-mesh/heddle/control/translate/note"
	"github.com/heddle-mesh/heddle/mesh"
	networking "istio.io/api/networking/v1alpha3"
)

func (v *visit) ingress(s *mesh.SidecarScope, x *networking.IstioIngressListener, denials map[string]string, path string) {
	if x.GetPort() == nil {
		v.Invalid(path+".port", "the port is missing")
		return
	}
	out := mesh.IngressListener{Port: v.port(x.Port.Number, path+".port.number"), Name: x.Port.Name, Capture: v.captureMode(x.CaptureMode, path+".captureMode"), Pool: v.inboundPool(x.ConnectionPool, path+".connectionPool")}
	if slices.ContainsFunc(s.Ingress, func(l mesh.IngressListener) bool { return l.Port == out.Port }) {
		v.Invalid(path+".port.number", "port %d has a listener already", out.Port)
	}
	v.targetPort(x.Port.TargetPort, path+".port.targetPort") //nolint:staticcheck // deprecated, and still written by users
	p, ok := serverProtocols[strings.ToUpper(x.Port.Protocol)]
	if !ok {
		v.Add(mesh.CodeInvalid, path+".port.protocol", "use HTTP, HTTPS, HTTP2, GRPC, GRPC-WEB, TLS, TCP or MONGO", "%q is not a protocol of a listener", shorten(x.Port.Protocol))
	}
	out.Protocol = p
	if x.Bind != "" {
		ip, err := netip.ParseAddr(x.Bind)
		if err != nil || ip.Zone() != "" {
			v.Invalid(path+".bind", "%q is not an IP address", shorten(x.Bind))
		}
		out.Bind = ip.Unmap()
	}
	v.defaultEndpoint(&out, x.DefaultEndpoint, path+".defaultEndpoint")
	if out.Capture == mesh.CaptureNone && out.Endpoint.IsZero() {
		v.Add(mesh.CodeInvalid, path+".defaultEndpoint", "say where the workload listens", "with captureMode NONE the proxy has the port itself, so the workload must be somewhere else")
	}
	v.ingressTLS(&out, x.Tls, path+".tls")
	for _, field := range sorted(denials) {
		if note.Under(field, path) {
			out.Denied = denials[field]
		}
	}
	s.Ingress = append(s.Ingress, out)
}

func (v *visit) captureMode(m networking.CaptureMode, path string) mesh.CaptureMode {
	switch m {
	case networking.CaptureMode_DEFAULT:
	case networking.CaptureMode_IPTABLES:
		return mesh.CaptureRedirect
	case networking.CaptureMode_NONE:
		return mesh.CaptureNone
	default:
		v.Invalid(path, "%d is not a capture mode", m)
	}
	return mesh.CaptureDefault
}

// defaultEndpoint reads where the workload listens: a loopback or unspecified address with its port, or a unix socket.
func (v *visit) defaultEndpoint(out *mesh.IngressListener, text, path string) {
	const hint = "write 127.0.0.1:PORT, [::1]:PORT, 0.0.0.0:PORT, [::]:PORT or unix:///PATH"
	switch at, err := netip.ParseAddrPort(text); {
	case text == "":
	case strings.HasPrefix(text, "unix://"):
		a, err := mesh.ParseAddress(text)
		if err != nil {
			v.Add(mesh.CodeInvalid, path, hint, "%q is not a unix socket", shorten(text))
		}
		out.Endpoint = a
	case err != nil || at.Port() == 0:
		v.Add(mesh.CodeInvalid, path, hint, "%q is not an address with a port", shorten(text))
	case !at.Addr().IsUnspecified() && at.Addr() != netip.IPv6Loopback() && at.Addr() != netip.AddrFrom4([4]byte{127, 0, 0, 1}):
		v.Add(mesh.CodeInvalid, path, hint, "a sidecar leads to its own workload only, not to %s", at.Addr())
	default:
		out.Endpoint, out.EndpointPort = mesh.IPAddress(at.Addr()), at.Port()
	}
}

var ingressModes = map[networking.ServerTLSSettings_TLSmode]mesh.ServerTLSMode{
	networking.ServerTLSSettings_SIMPLE: mesh.ServerSimple, networking.ServerTLSSettings_MUTUAL: mesh.ServerMutual, networking.ServerTLSSettings_OPTIONAL_MUTUAL: mesh.ServerOptionalMutual,
}

func (v *visit) ingressTLS(out *mesh.IngressListener, x *networking.ServerTLSSettings, path string) {
	if x == nil {
		return
	}
	mode, known := ingressModes[x.Mode]
	switch {
	case known:
	case x.Mode == networking.ServerTLSSettings_ISTIO_MUTUAL:
		v.Add(mesh.CodeInvalid, path+".mode", "leave tls out, and say in a PeerAuthentication which clients come in", "mode ISTIO_MUTUAL is refused here (in Istio, too): TLS of the mesh ends at every port where a PeerAuthentication does not switch it off")
	case x.Mode == networking.ServerTLSSettings_AUTO_PASSTHROUGH:
		v.Add(mesh.CodeInvalid, path+".mode", "use SIMPLE, MUTUAL or OPTIONAL_MUTUAL", "mode AUTO_PASSTHROUGH is refused here (in Istio, too): a sidecar leads to its own workload only")
	default:
		v.Add(mesh.CodeInvalid, path+".mode", "use SIMPLE, MUTUAL or OPTIONAL_MUTUAL, or leave tls out", "mode %s does not end TLS, so there is nothing to say of it", x.Mode)
	}
	if x.HttpsRedirect {
		v.Invalid(path+".httpsRedirect", "a port that speaks TLS has nothing to redirect")
	}
	out.TLS, out.Denied = v.ended(mode, x, path)
}
