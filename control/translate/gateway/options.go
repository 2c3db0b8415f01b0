package gateway

import (
	"fmt"
	"slices"
	"strings"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/mesh"
	corev1 "k8s.io/api/core/v1"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// terminated applies the option that says how TLS ends at a listener; it says whether the certificate is the mesh's own. What is no mode is denied by api.Unenforced.
func (v *visit) terminated(s *listenerState, t *gwv1.ListenerTLSConfig, path string) (own bool) {
	switch t.Options[api.OptionTerminateMode] {
	case "MUTUAL":
		s.server.TLS.Mode = mesh.ServerMutual
	case "OPTIONAL_MUTUAL":
		s.server.TLS.Mode = mesh.ServerOptionalMutual
	case "ISTIO_MUTUAL":
		s.server.TLS.Mode, own = mesh.ServerIstioMutual, true
	case "ISTIO_SIMPLE":
		s.server.TLS.Own, own = true, true
	}
	if own && len(t.CertificateRefs) > 0 {
		v.NotEnforced(path+".certificateRefs", "with the mode %s the certificate is the mesh's own, so these are not shown", t.Options[api.OptionTerminateMode])
	}
	return own
}

// suites applies the option that names cipher suites. Those that gateways do not have are left out, as in Istio; but where none is left the listener is closed.
func (v *visit) suites(s *listenerState, t *gwv1.ListenerTLSConfig, path string) {
	said := string(t.Options[api.OptionCipherSuites])
	if said == "" {
		return
	}
	at := fmt.Sprintf("%s.options[%q]", path, api.OptionCipherSuites)
	for name := range strings.SplitSeq(said, ",") {
		switch name = strings.TrimSpace(name); {
		case !slices.Contains(mesh.CipherSuites, name):
			v.Add(mesh.CodeNotEnforced, at, "use some of "+strings.Join(mesh.CipherSuites[:6], ", "), "%.64q is not a cipher suite that gateways have, so it is left out", name)
		case !slices.Contains(s.server.TLS.CipherSuites, name):
			s.server.TLS.CipherSuites = append(s.server.TLS.CipherSuites, name)
		}
	}
	if len(s.server.TLS.CipherSuites) == 0 {
		s.deny(v, at, "none of the cipher suites is one that gateways have")
	}
}

// deny closes a listener.
func (s *listenerState) deny(v *visit, path, why string) {
	v.Add(mesh.CodeDenied, path, "", "%s, so the listener accepts no connection", why)
	s.server.Denied, s.deniedBy = why, true
	s.accepted, s.acceptedMessage = string(gwv1.ListenerReasonUnsupportedValue), path+": "+why
}

// vouched says whether anybody vouches for the clients that a mode asks for certificates, where the Gateway names no authorities for them: the Secret of the certificate does,
// or the one beside it whose name ends in -cacert.
func (v *visit) vouched(s *listenerState, path string) {
	t := s.server.TLS
	if t == nil || t.Mode != mesh.ServerMutual && t.Mode != mesh.ServerOptionalMutual || t.Roots != "" || t.Credential == "" {
		return
	}
	ns, name, _ := strings.Cut(t.Credential, "/")
	for _, name := range []string{name + "-cacert", name} {
		o, _ := v.in.Object(mesh.Ref{Kind: "Secret", Namespace: mesh.Namespace(ns), Name: name})
		if secret, ok := o.Spec.(*corev1.Secret); ok && len(entry(secret, rootsKey))+len(entry(secret, "cacert")) > 0 {
			return
		}
	}
	s.accepted, s.acceptedMessage = string(gwv1.ListenerReasonNoValidCACertificate), fmt.Sprintf("%s.options: Secret %s has no certificate of an authority in %s, so nobody could show a valid certificate", path, t.Credential, rootsKey)
	v.NotFound(path+".options", "", "Secret %s has no certificate of an authority in %s, so nobody could show a valid certificate", t.Credential, rootsKey)
}
