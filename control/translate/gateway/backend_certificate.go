package gateway

import (
	"github.com/heddle-mesh/heddle/control/translate/condition"
	"github.com/heddle-mesh/heddle/mesh"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// shown reads the certificate that a gateway shows to backends (GatewaySpec.tls.backend), and says why the reference to it does not hold. Without it the gateway shows none, which is
// the server's to refuse.
func (v *visit) shown(g *mesh.Gateway, spec *gwv1.GatewaySpec) (reason, message string) {
	if !shows(spec) {
		return "", ""
	}
	const at = "spec.tls.backend.clientCertificateRef"
	ref := *spec.TLS.Backend.ClientCertificateRef
	switch _, why, text := v.certificate(ref); why {
	case "":
		g.ClientCertificate = string(deref(ref.Namespace, gwv1.Namespace(v.ns))) + "/" + string(ref.Name)
		return "", ""
	case string(gwv1.ListenerReasonRefNotPermitted):
		reason, message = string(gwv1.GatewayReasonRefNotPermitted), text
	default:
		reason, message = string(gwv1.GatewayReasonInvalidClientCertificateRef), text
	}
	v.NotFound(at, "", "%s, so backends are shown no certificate", message)
	return reason, at + ": " + message
}

func shows(spec *gwv1.GatewaySpec) bool {
	return spec.TLS != nil && spec.TLS.Backend != nil && spec.TLS.Backend.ClientCertificateRef != nil
}

// references is the condition that tells whether what a gateway as a whole refers to exists; none for one that refers to nothing.
func (v *visit) references(spec *gwv1.GatewaySpec, d description) []condition.Condition {
	if !shows(spec) {
		return nil
	}
	reason, message := d.unresolved, d.unresolvedMessage
	for i := range d.states {
		if l := &d.states[i]; reason == "" && l.resolved != "" {
			reason, message = string(gwv1.GatewayReasonListenersNotResolved), "listener "+l.server.Name+": "+l.resolvedMessage
		}
	}
	kind := string(gwv1.GatewayConditionResolvedRefs)
	if reason != "" {
		return []condition.Condition{v.cond(kind, false, reason, message)}
	}
	return []condition.Condition{v.cond(kind, true, string(gwv1.GatewayReasonResolvedRefs), "what the gateway refers to exists")}
}
