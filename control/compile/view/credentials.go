package view

import (
	"slices"
	"strings"

	"github.com/heddle-mesh/heddle/mesh"
)

const (
	secretPrefix = "kubernetes://"
	// RootsSuffix stands behind the name of a credential where its roots are meant.
	RootsSuffix = "-cacert"
)

func callersKey(secret string) mesh.Key {
	return mesh.Key{Noun: mesh.OfDerived, Name: callersOf{secret}}
}

// credentialsOf are the names in SDS of what rules with a workload selector have their workloads read. Such rules count in their own namespace only.
func credentialsOf(rules []*mesh.Traffic) map[string]bool {
	out := map[string]bool{}
	for _, t := range rules {
		if len(t.Selector) > 0 {
			eachTLS(t, func(tls *mesh.ClientTLS) { namesIn(tls, t.Origin.Namespace, out) })
		}
	}
	return out
}

func eachTLS(t *mesh.Traffic, visit func(*mesh.ClientTLS)) {
	policy := func(p *mesh.TrafficPolicy) {
		if p.TLS != nil {
			visit(p.TLS)
		}
		for _, port := range p.Ports {
			if port.TLS != nil {
				visit(port.TLS)
			}
		}
	}
	policy(&t.Policy)
	for i := range t.Subsets {
		policy(&t.Subsets[i].Policy)
	}
}

func namesIn(tls *mesh.ClientTLS, ns mesh.Namespace, out map[string]bool) {
	if tls.CredentialName != "" {
		name := secretName(tls.CredentialName, ns)
		out[name+RootsSuffix] = true
		if tls.Mode == mesh.TLSMutual {
			out[name] = true
		}
	}
	if tls.CACredential != "" {
		out[secretName(tls.CACredential, ns)+RootsSuffix] = true
	}
}

func secretName(credential string, ns mesh.Namespace) string {
	if !strings.Contains(credential, "/") {
		credential = string(ns) + "/" + credential
	}
	return secretPrefix + credential
}

// indexCallers notes which Secrets the rules for a host name, and gives the keys of what changed.
func (s *Source) indexCallers(before *mesh.Snapshot, h mesh.Host) (keys []mesh.Key) {
	old, _ := before.Traffic.Get(h)
	now, _ := s.Traffic.Get(h)
	was, is := credentialsOf(old), credentialsOf(now)
	for name := range was {
		if !is[name] {
			list, _ := s.callers.Get(name)
			if rest := slices.DeleteFunc(slices.Clone(list), func(x mesh.Host) bool { return x == h }); len(rest) > 0 {
				s.callers = s.callers.With(name, rest)
			} else {
				s.callers = s.callers.Without(name)
			}
			keys = append(keys, callersKey(name))
		}
	}
	for name := range is {
		if !was[name] {
			list, _ := s.callers.Get(name)
			next := append(slices.Clone(list), h)
			slices.Sort(next)
			s.callers = s.callers.With(name, next)
			keys = append(keys, callersKey(name))
		}
	}
	return keys
}

// CallsWith says whether a DestinationRule that chooses the proxy with its workload selector names a credential (by its name in SDS), so that the proxy is given it though it is
// a sidecar.
func (v *View) CallsWith(credential string) bool {
	v.r.Read(callersKey(credential))
	hosts, _ := v.s.callers.Get(credential)
	for _, h := range hosts {
		rules, _ := read(v, mesh.OfTraffic, v.s.Traffic, h)
		for _, t := range rules {
			if credentialsOf([]*mesh.Traffic{t})[credential] && v.InNamespace(t.Origin.Namespace) && v.ProxyMatches(t.Selector) {
				return true
			}
		}
	}
	return false
}

// CredentialName is the SDS name of a credential: kubernetes://NAMESPACE/NAME. One that is written without a namespace is in the proxy's own.
func (v *View) CredentialName(credential string) string {
	if strings.Contains(credential, "/") {
		return secretPrefix + credential
	}
	return secretName(credential, v.Namespace())
}

// SecretOf is the Secret that a name in SDS is of, as it is written.
func SecretOf(name string) (id mesh.SecretID, ok bool) {
	path, ok := strings.CutPrefix(name, secretPrefix)
	ns, object, two := strings.Cut(path, "/")
	return mesh.SecretID{Namespace: mesh.Namespace(ns), Name: object}, ok && two
}

// Secret is a gateway's credential, if the proxy may read it: it is in the proxy's namespace, or a Gateway of the Gateway API that the proxy serves
// refers to it (translation has asked for the ReferenceGrant then).
func (v *View) Secret(id mesh.SecretID) (*mesh.Secret, bool) {
	if !v.MayRead(id) && !v.granted(id) {
		return nil, false
	}
	return read(v, mesh.OfSecrets, v.s.Secrets, id)
}

func (v *View) granted(id mesh.SecretID) bool {
	name := string(id.Namespace) + "/" + id.Name
	for _, g := range v.Gateways() {
		for _, s := range g.Servers {
			if g.ID.Dialect == mesh.GatewayAPI && s.TLS != nil && s.Denied == "" && (s.TLS.Credential == name || slices.Contains(s.TLS.More, name)) {
				return true
			}
		}
		if g.ClientCertificate == name {
			return true
		}
	}
	return false
}

// Pair is a Secret with a certificate and its key, if the proxy may read it.
func (v *View) Pair(id mesh.SecretID) (*mesh.Secret, bool) {
	s, ok := v.Secret(id)
	return s, ok && len(s.Key) > 0
}

// Roots is the Secret whose roots go by the name of a credential, if the proxy may read it: NAME-cacert may be a Secret of its own, or the roots are inside of NAME.
func (v *View) Roots(id mesh.SecretID) (*mesh.Secret, bool) {
	for _, name := range []string{id.Name + RootsSuffix, id.Name} {
		if s, ok := v.Secret(mesh.SecretID{Namespace: id.Namespace, Name: name}); ok && len(s.CA) > 0 {
			return s, true
		}
	}
	return nil, false
}
