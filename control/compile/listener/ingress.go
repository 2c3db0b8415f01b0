package listener

import (
	"github.com/heddle-mesh/heddle/control/compile/view"
	"github.com/heddle-mesh/heddle/mesh"
)

// own is the workload's own TLS at a port (Sidecar.ingress.tls); nil where the mesh's counts. It is for clients outside of the mesh, so that it is in effect only where the
// mesh's mutual TLS is off, as in Istio.
func (a arrival) own(v *view.View) *mesh.ServerTLS {
	l := a.listener
	if l == nil || l.TLS == nil || l.Denied != "" {
		return nil
	}
	if v.MTLS(a.port) == mesh.MTLSDisable {
		return l.TLS
	}
	v.Notice(mesh.Problem{
		Object: a.origin, Field: "spec.ingress", Code: mesh.CodeNotEnforced,
		Message: "the port is for the mesh's mutual TLS, so the listener's own TLS is not used", Hint: "set portLevelMtls to DISABLE for the port in a PeerAuthentication",
	})
	return nil
}

// terminated are the ways to a port whose TLS ends with a certificate of its own: nothing else may come in.
func terminated(proto mesh.Protocol) []way {
	switch proto {
	case mesh.Auto:
		return []way{{transport: "tls", alpn: []string{"http/1.1", "h2"}, own: true, http: true}, {transport: "tls", own: true}}
	case mesh.HTTPS:
		proto = mesh.HTTP
	}
	return []way{{transport: "tls", own: true, http: proto.IsHTTP()}}
}
