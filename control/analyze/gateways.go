package analyze

import (
	"crypto/tls"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/mesh"
)

// gateways looks for hosts and certificates that several Gateways of the same workloads serve.
func (a *analysis) gateways() {
	hosts, certificates := map[string][]claim{}, map[string][]claim{}
	var keys, names []string // in the order of the objects
	each(a, func(o api.Object, spec *networking.Gateway) {
		for i, s := range spec.GetServers() {
			for _, h := range s.GetHosts() {
				key := fmt.Sprintf("%d|%s|%s", s.GetPort().GetNumber(), s.GetBind(), h)
				if hosts[key] == nil {
					keys = append(keys, key)
				}
				hosts[key] = append(hosts[key], claim{o.Ref(), i, h, spec.GetSelector()})
			}
			if name := s.GetTls().GetCredentialName(); name != "" {
				if certificates[name] == nil {
					names = append(names, name)
				}
				certificates[name] = append(certificates[name], claim{o.Ref(), i, name, spec.GetSelector()})
			}
		}
	})
	for _, key := range keys {
		for _, c := range hosts[key] {
			if other, ok := rival(hosts[key], c, a.shareWorkload); ok {
				a.say("IST0145", c.ref, at("spec.servers", c.server)+".hosts", fmt.Sprintf("%s serves host %s at this port too, for the same workloads", other, c.what))
			}
		}
	}
	for _, name := range names {
		for _, c := range certificates[name] {
			// Where one Gateway is for more workloads than the other, the wider one is to be changed.
			if other, ok := rival(certificates[name], c, func(wide, narrow mesh.Labels) bool { return wide.Selects(narrow) }); ok {
				a.say("IST0138", c.ref, at("spec.servers", c.server)+".tls.credentialName", fmt.Sprintf("%s serves with the certificate %s too", other, name))
			}
		}
	}
}

// claim is what a server of a Gateway serves: a host, or with a certificate.
type claim struct {
	ref      mesh.Ref
	server   int
	what     string
	selector mesh.Labels
}

// rival is another Gateway with such a claim, for workloads that are related to the claim's.
func rival(list []claim, c claim, related func(own, other mesh.Labels) bool) (mesh.Ref, bool) {
	for _, other := range list {
		if other.ref != c.ref && related(c.selector, other.selector) {
			return other.ref, true
		}
	}
	return mesh.Ref{}, false
}

// shareWorkload says whether two selectors are the same, or some workload is known that both choose.
func (a *analysis) shareWorkload(x, y mesh.Labels) bool {
	return maps.Equal(x, y) || slices.ContainsFunc(a.workloads, func(w Workload) bool { return x.Selects(w.Labels) && y.Selects(w.Labels) })
}

// gatewayPorts looks whether a Service leads to each port of a Gateway, where it is known which workloads serve it.
func (a *analysis) gatewayPorts() {
	each(a, func(o api.Object, spec *networking.Gateway) {
		targets, known := a.targets(spec.GetSelector())
		for i, s := range spec.GetServers() {
			if number := s.GetPort().GetNumber(); known && !targets[number] {
				a.say("IST0162", o.Ref(), at("spec.servers", i)+".port.number", fmt.Sprintf("no Service of workloads with the labels %s leads to port %d", labelText(spec.GetSelector()), number))
			}
		}
	})
}

// targets are the ports of workloads to which Services lead; known is false when there is no such Service, or one names a port instead of giving its number.
func (a *analysis) targets(selector mesh.Labels) (ports map[uint32]bool, known bool) {
	ports = map[uint32]bool{}
	named := false
	workloads := a.workloadsOf("", selector)
	each(a, func(o api.Object, s *corev1.Service) {
		if len(s.Spec.Selector) == 0 || !slices.ContainsFunc(workloads, func(w Workload) bool {
			return w.Ref.Namespace == o.Ref().Namespace && mesh.Labels(s.Spec.Selector).Selects(w.Labels)
		}) {
			return
		}
		for _, p := range s.Spec.Ports {
			known = true
			switch {
			case p.TargetPort.Type == intstr.String:
				named = true
			case p.TargetPort.IntVal != 0:
				ports[uint32(p.TargetPort.IntVal)] = true //nolint:gosec // compared with ports only
			default:
				ports[uint32(p.Port)] = true //nolint:gosec // compared with ports only
			}
		}
	})
	return ports, known && !named
}

// credentials looks into the Secrets that Gateways name, where Secrets are among the objects: those of the namespaces of their workloads, or where none is known, of the root namespace.
func (a *analysis) credentials() {
	secrets := map[string]*corev1.Secret{}
	each(a, func(o api.Object, s *corev1.Secret) { secrets[o.Meta.Namespace+"/"+o.Meta.Name] = s })
	each(a, func(o api.Object, spec *networking.Gateway) {
		namespaces := map[mesh.Namespace]bool{}
		for _, w := range a.workloadsOf("", spec.GetSelector()) {
			namespaces[w.Ref.Namespace] = true
		}
		if len(namespaces) == 0 {
			namespaces[a.in.Settings.RootNamespace] = true
		}
		for i, s := range spec.GetServers() {
			name := s.GetTls().GetCredentialName()
			if name == "" {
				continue
			}
			for ns := range namespaces {
				secret := secrets[string(ns)+"/"+name]
				if secret == nil {
					continue
				}
				if why := unusable(secret, a.in.Now); why != "" {
					a.say("IST0161", o.Ref(), at("spec.servers", i)+".tls.credentialName", fmt.Sprintf("Secret %s of namespace %s %s", name, ns, why))
				}
			}
		}
	})
}

// unusable says why a server cannot use a Secret.
func unusable(s *corev1.Secret, now time.Time) string {
	value := func(keys ...string) []byte {
		for _, key := range keys {
			if len(s.Data[key]) > 0 {
				return s.Data[key]
			}
			if s.StringData[key] != "" {
				return []byte(s.StringData[key])
			}
		}
		return nil
	}
	cert, key := value("tls.crt", "cert"), value("tls.key", "key")
	if cert == nil || key == nil {
		return "has no certificate and key"
	}
	pair, err := tls.X509KeyPair(cert, key)
	switch {
	case err != nil:
		return "has a certificate or key that cannot be read, or that do not belong together"
	case !now.IsZero() && pair.Leaf != nil && now.After(pair.Leaf.NotAfter):
		return "has a certificate that has expired at " + pair.Leaf.NotAfter.UTC().Format(time.RFC3339)
	}
	return ""
}
