package upstream

import (
	"cmp"

	"github.com/heddle-mesh/heddle/control/compile/view"
	"github.com/heddle-mesh/heddle/mesh"
)

// credentials looks whether the proxy is given the Secrets that the rule names for TLS, and says why not, so that nothing is sent: a proxy that waited for one would hold up its
// whole configuration. Gateways are given those of their own namespace, and sidecars where the rule chooses them with a workload selector (Istio's rule, but that Istio's sidecars
// call the host in clear text otherwise); without one a sidecar goes by the file with roots, if there is one.
func (t *target) credentials(v *view.View) (missing string) {
	tls := t.policy.TLS
	if tls == nil || t.backend != nil || tls.CredentialName+tls.CACredential == "" || tls.Mode != mesh.TLSSimple && tls.Mode != mesh.TLSMutual {
		return ""
	}
	if tls.Mode == mesh.TLSMutual && tls.CredentialName != "" {
		switch id := t.secret(v, tls.CredentialName); {
		case !t.given(v, v.CredentialName(tls.CredentialName)):
			return unselected
		case !present(v.Pair(id)):
			return t.missing(v, "credentialName", id, "tls.crt and tls.key")
		}
	}
	roots := cmp.Or(tls.CACredential, tls.CredentialName)
	if tls.InsecureSkipVerify || len(tls.Roots) > 0 || roots == "" {
		return ""
	}
	id := t.secret(v, roots)
	s, found := v.Roots(id)
	switch given := t.given(v, v.CredentialName(roots)+view.RootsSuffix); {
	case !given && tls.CACredential != "" && tls.CACertificates != "":
		files := *tls
		files.CACredential = ""
		t.policy.TLS = &files
		return ""
	case !given:
		return unselected
	case !found && tls.CACredential != "":
		return t.missing(v, "caCertCredentialName", id, "ca.crt")
	case !found:
		return t.missing(v, "credentialName", id, "ca.crt")
	case len(s.CRL) > 0 && !v.Can(mesh.FeatureRevocation):
		return "this proxy cannot tell which certificates are revoked (ca.crl)"
	}
	return ""
}

const unselected = "only gateways, and sidecars that the rule chooses with a workloadSelector, are given the Secret that it names"

// given says whether the proxy is given a credential (by its name in SDS), if there is one.
func (t *target) given(v *view.View, name string) bool {
	return v.Kind() == mesh.Router || v.CallsWith(name)
}

func (t *target) secret(v *view.View, credential string) mesh.SecretID {
	id, _ := view.SecretOf(v.CredentialName(credential))
	return id
}

// missing tells the rule's owner of a Secret that is not there, or that is not for proxies of this namespace, which are told from each other no further.
func (t *target) missing(v *view.View, field string, id mesh.SecretID, has string) string {
	why := "there is no Secret " + id.Name + " with " + has + " in namespace " + string(id.Namespace)
	if !v.MayRead(id) {
		why = "the Secret " + id.Name + " is of namespace " + string(id.Namespace) + ", and proxies are given those of their own namespace only"
	}
	v.Notice(mesh.Problem{
		Object: t.origin(), Field: "spec.trafficPolicy.tls." + field, Code: mesh.CodeNotFound,
		Message: why + ", so nothing is sent to " + string(t.service.ID.Host), Hint: "create it where the proxies run",
	})
	return why
}

func present(_ *mesh.Secret, ok bool) bool { return ok }
