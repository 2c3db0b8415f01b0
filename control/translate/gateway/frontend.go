package gateway

import (
	"crypto/x509"
	"fmt"
	"slices"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/translate/condition"
	"github.com/heddle-mesh/heddle/mesh"
	corev1 "k8s.io/api/core/v1"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// rootsKey is the entry of a ConfigMap or Secret that holds authorities, as PEM.
const rootsKey = "ca.crt"

// clients has a listener for HTTPS ask its clients for certificates, as the gateway says for its port, or for all ports (GatewayTLSConfig.frontend). What the
// Gateway refers to is judged from its namespace, for the listeners of its ListenerSets too.
func (v *visit) clients(s *listenerState, gateway *visit) {
	spec := gateway.obj.Spec.(*gwv1.GatewaySpec)
	if spec.TLS == nil || spec.TLS.Frontend == nil || s.server.Protocol != mesh.HTTPS || s.server.TLS == nil || s.server.TLS.Mode == mesh.ServerIstioMutual {
		return
	}
	path, check := "spec.tls.frontend.default.validation", spec.TLS.Frontend.Default.Validation
	for i, p := range spec.TLS.Frontend.PerPort {
		if p.Port == int32(s.server.Port) {
			path, check = fmt.Sprintf("spec.tls.frontend.perPort[%d].tls.validation", i), p.TLS.Validation
		}
	}
	if check == nil {
		return
	}
	if v != gateway {
		path = gateway.obj.Ref().String() + " " + path
	}
	var roots []byte
	for i, r := range check.CACertificateRefs {
		at := fmt.Sprintf("%s.caCertificateRefs[%d]", path, i)
		pem, reason, message := gateway.authorities(r)
		if reason != "" {
			s.resolved, s.resolvedMessage = string(reason), at+": "+message
			if v != gateway { // the field is the Gateway's
				at = "spec.parentRef"
			}
			v.NotFound(at, "", "%s", message)
			continue
		}
		roots = append(append(roots, pem...), '\n')
	}
	if len(roots) == 0 { // anyone could come in
		s.accepted, s.acceptedMessage = string(gwv1.ListenerReasonNoValidCACertificate), path+": no certificate authority can be used, so nobody could show a valid certificate"
		return
	}
	asked := s.server.TLS.Mode
	s.server.TLS.Mode, s.server.TLS.Roots = mesh.ServerMutual, string(roots)
	if asked == mesh.ServerMutual || asked == mesh.ServerOptionalMutual { // the listener's option says how strict it is
		s.server.TLS.Mode = asked
		return
	}
	if check.Mode == gwv1.AllowInsecureFallback { // what nobody verifies must not be taken for an identity
		s.server.TLS.Mode, s.server.TLS.Unverified, s.server.TLS.Strangers = mesh.ServerOptionalMutual, true, true
	}
}

// authorities reads the certificates that a reference of a Gateway leads to.
func (v *visit) authorities(r gwv1.ObjectReference) (pem []byte, reason gwv1.ListenerConditionReason, message string) {
	ns, kind := mesh.Namespace(deref(r.Namespace, gwv1.Namespace(v.ns))), string(r.Kind)
	if r.Group != "" || kind != "ConfigMap" && kind != "Secret" {
		return nil, gwv1.ListenerReasonInvalidCACertificateKind, fmt.Sprintf("certificate authorities cannot be of kind %s%s; name a ConfigMap or a Secret", kind, inGroup(string(r.Group)))
	}
	if !granted("Gateway", v.ns, "", kind, string(r.Name), ns, v.in) {
		return nil, gwv1.ListenerReasonRefNotPermitted, fmt.Sprintf("no ReferenceGrant in namespace %s lets Gateways of namespace %s use %s %s", ns, v.ns, kind, r.Name)
	}
	invalid := gwv1.ListenerReasonInvalidCACertificateRef
	o, ok := v.in.Object(mesh.Ref{Kind: kind, Namespace: ns, Name: string(r.Name)})
	if !ok {
		return nil, invalid, fmt.Sprintf("there is no %s %s in namespace %s", kind, r.Name, ns)
	}
	if pem = rootsOf(o); pem == nil {
		return nil, invalid, fmt.Sprintf("%s %s/%s has no certificate in %s", kind, ns, r.Name, rootsKey)
	}
	return pem, "", ""
}

// rootsOf reads the certificates of authorities that a ConfigMap or Secret holds; nil when there are none.
func rootsOf(o api.Object) (pem []byte) {
	switch spec := o.Spec.(type) {
	case *corev1.ConfigMap:
		if pem = []byte(spec.Data[rootsKey]); len(pem) == 0 {
			pem = spec.BinaryData[rootsKey]
		}
	case *corev1.Secret:
		pem = entry(spec, rootsKey)
	}
	if !x509.NewCertPool().AppendCertsFromPEM(pem) {
		return nil
	}
	return pem
}

// lenient says whether some clients need no valid certificate although the gateway names authorities for them, which its status must tell.
func (v *visit) lenient(spec *gwv1.GatewaySpec) []condition.Condition {
	if spec.TLS == nil || spec.TLS.Frontend == nil {
		return nil
	}
	insecure := func(c *gwv1.FrontendTLSValidation) bool { return c != nil && c.Mode == gwv1.AllowInsecureFallback }
	if !insecure(spec.TLS.Frontend.Default.Validation) && !slices.ContainsFunc(spec.TLS.Frontend.PerPort, func(p gwv1.TLSPortConfig) bool { return insecure(p.TLS.Validation) }) {
		return nil
	}
	return []condition.Condition{v.cond(string(gwv1.GatewayConditionInsecureFrontendValidationMode), true, string(gwv1.GatewayReasonConfigurationChanged),
		"with AllowInsecureFallback clients need no certificate, and whatever one they show counts as nobody's identity")}
}
