package istio

import (
	"crypto/x509"
	"encoding/pem"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"
	corev1 "k8s.io/api/core/v1"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/config/clienttls"
	"github.com/heddle-mesh/heddle/control/translate/note"
	"github.com/heddle-mesh/heddle/mesh"
)

// configMap stands before the name of a credential that is a ConfigMap, which has roots and no certificate of a client.
const configMap = "configmap://"

// deniedTLS writes down the TLS fields that are not enforced and gives their paths.
func (v *visit) deniedTLS() []string {
	var paths []string
	for _, f := range api.Unenforced(v.obj) {
		v.Add(mesh.CodeDenied, f.Path, "remove the field", "%s, so nothing is sent to the host under this setting", f.Reason)
		paths = append(paths, f.Path)
	}
	return paths
}

// clientTLS reads how TLS towards a host is made. selected says that the rule is for chosen workloads, so that sidecars are given the Secrets that it names.
func (v *visit) clientTLS(x *networking.ClientTLSSettings, denials []string, selected bool, path string) *mesh.ClientTLS {
	if x == nil {
		return nil
	}
	t := clienttls.Read(x, func(field, hint, message string) {
		v.Add(mesh.CodeInvalid, strings.TrimSuffix(path+"."+field, "."), hint, "%s", message)
	})
	if i := slices.IndexFunc(denials, func(field string) bool { return note.Under(field, path) }); i >= 0 {
		return clienttls.Unreachable(denials[i] + " is not enforced yet")
	}
	if t.InsecureSkipVerify && t.CACredential != "" {
		v.NotEnforced(path+".caCertCredentialName", "with insecureSkipVerify nobody has to vouch for the server, so it has no effect")
		t.CACredential = ""
	}
	denied := v.clientCredential(&t.CredentialName, t, path+".credentialName")
	if why := v.clientCredential(&t.CACredential, t, path+".caCertCredentialName"); why != "" {
		denied = why
	}
	switch {
	case denied != "":
		return clienttls.Unreachable(denied)
	case t.Mode == mesh.TLSSimple && t.CredentialName != "" && (t.CACredential != "" || len(t.Roots) > 0):
		v.NotEnforced(path+".credentialName", "mode SIMPLE shows no certificate, and caCertCredentialName says who vouches for the server, so it has no effect")
		t.CredentialName = ""
	}
	switch given := !selected && (t.Mode == mesh.TLSSimple || t.Mode == mesh.TLSMutual); {
	case given && t.CredentialName != "":
		v.Add(mesh.CodeNotEnforced, path+".credentialName", sidecarsHint, "without a workloadSelector only gateways are given the Secret %s, so sidecars reach nothing at the host", t.CredentialName)
	case given && t.CACredential != "" && t.CACertificates == "":
		v.Add(mesh.CodeNotEnforced, path+".caCertCredentialName", sidecarsHint, "without a workloadSelector only gateways are given the Secret %s, so sidecars reach nothing at the host", t.CACredential)
	}
	return t
}

const sidecarsHint = "choose the sidecars that call the host with workloadSelector, or let them call it through a gateway"

// clientCredential reads where a credential of a client lies: Istio lets that be written before its name. A ConfigMap is read at once, since its roots are no secret. denied is why
// nothing may be sent.
func (v *visit) clientCredential(name *string, t *mesh.ClientTLS, path string) (denied string) {
	written := *name
	rest, isMap := strings.CutPrefix(written, configMap)
	switch *name = credential(written); {
	case isMap && t.Mode == mesh.TLSMutual && strings.HasSuffix(path, ".credentialName"):
		*name = ""
		v.Add(mesh.CodeInvalid, path, "write it as caCertCredentialName", "a ConfigMap has no certificate and key that a client of mode MUTUAL could show")
	case isMap:
		*name = ""
		t.Roots, t.Revoked, denied = v.rootsOf(rest, path)
	case strings.Contains(*name, "://"):
		denied = "credentials come from Secrets and ConfigMaps, not from " + shorten(written)
		v.Add(mesh.CodeDenied, path, "name a Secret", "%s, so nothing is sent to the host under this setting", denied)
	}
	return denied
}

// rootsOf reads the roots of a ConfigMap, [NAMESPACE/]NAME, and what they have revoked. It must be of the object's own namespace (Istio's rule). missing is why there are none.
func (v *visit) rootsOf(name, path string) (roots, revoked []byte, missing string) {
	ns, object, two := strings.Cut(name, "/")
	if !two {
		ns, object = string(v.ns), name
	}
	if ns != string(v.ns) {
		v.Invalid(path, "a ConfigMap must be of the object's namespace %s", v.ns)
		return nil, nil, "the ConfigMap is of another namespace"
	}
	o, found := v.in.Object(mesh.Ref{Kind: "ConfigMap", Namespace: v.ns, Name: object})
	m, _ := o.Spec.(*corev1.ConfigMap)
	if !found || m == nil {
		missing = "there is no ConfigMap " + object + " in namespace " + string(v.ns)
	} else if roots, revoked = mapEntry(m, "cacert", "ca.crt"), mapEntry(m, "crl", "ca.crl"); !x509.NewCertPool().AppendCertsFromPEM(roots) {
		missing = "ConfigMap " + object + " in namespace " + string(v.ns) + " has no certificate of an authority in ca.crt"
	} else if !revocations(revoked) {
		missing = "ConfigMap " + object + " in namespace " + string(v.ns) + " has something else than lists of revoked certificates in ca.crl"
	}
	if missing != "" {
		v.NotFound(path, "", "%s", missing)
		return nil, nil, missing
	}
	return roots, revoked, ""
}

// revocations says whether a text holds lists of revoked certificates, in PEM, and nothing else; proxies refuse what does not.
func revocations(text []byte) bool {
	for len(text) > 0 {
		block, rest := pem.Decode(text)
		if block == nil {
			return strings.TrimSpace(string(text)) == ""
		}
		if _, err := x509.ParseRevocationList(block.Bytes); err != nil || block.Type != "X509 CRL" {
			return false
		}
		text = rest
	}
	return true
}

// mapEntry is what a ConfigMap has under the first of some keys that it has.
func mapEntry(m *corev1.ConfigMap, keys ...string) []byte {
	for _, k := range keys {
		if text, ok := m.Data[k]; ok {
			return []byte(text)
		}
		if b, ok := m.BinaryData[k]; ok {
			return b
		}
	}
	return nil
}
