package analyze

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/mesh"
)

// gateways looks for hosts and certificates that several Gateways of the same workloads serve.
func (a *analysis) gateways() {
	type claim struct {
		ref    mesh.Ref
		server int
		host   string
	}
	hosts, certificates := map[string][]claim{}, map[string][]claim{}
	var keys, names []string // in the order of the objects
	each(a, func(o api.Object, spec *networking.Gateway) {
		for i, s := range spec.GetServers() {
			for _, h := range s.GetHosts() {
				key := fmt.Sprintf("%s|%d|%s|%s", labelText(spec.GetSelector()), s.GetPort().GetNumber(), s.GetBind(), h)
				if hosts[key] == nil {
					keys = append(keys, key)
				}
				hosts[key] = append(hosts[key], claim{o.Ref(), i, h})
			}
			if name := s.GetTls().GetCredentialName(); name != "" {
				key := labelText(spec.GetSelector()) + "|" + name
				if certificates[key] == nil {
					names = append(names, key)
				}
				certificates[key] = append(certificates[key], claim{o.Ref(), i, name})
			}
		}
	})
	rivals := func(list []claim, i int) (mesh.Ref, bool) {
		j := slices.IndexFunc(list, func(c claim) bool { return c.ref != list[i].ref })
		if j < 0 {
			return mesh.Ref{}, false
		}
		return list[j].ref, true
	}
	for _, key := range keys {
		for i, c := range hosts[key] {
			if other, ok := rivals(hosts[key], i); ok {
				a.say("IST0145", c.ref, at("spec.servers", c.server)+".hosts", fmt.Sprintf("%s serves host %s at this port too, for the same workloads", other, c.host))
			}
		}
	}
	for _, key := range names {
		for i, c := range certificates[key] {
			if other, ok := rivals(certificates[key], i); ok {
				a.say("IST0138", c.ref, at("spec.servers", c.server)+".tls.credentialName", fmt.Sprintf("%s serves with the certificate %s too", other, c.host))
			}
		}
	}
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

// credentials looks into the Secrets that Gateways name, where Secrets are among the objects.
func (a *analysis) credentials() {
	secrets := map[string]*corev1.Secret{}
	each(a, func(o api.Object, s *corev1.Secret) { secrets[o.Meta.Namespace+"/"+o.Meta.Name] = s })
	each(a, func(o api.Object, spec *networking.Gateway) {
		for i, s := range spec.GetServers() {
			name := s.GetTls().GetCredentialName()
			if name == "" {
				continue
			}
			for _, w := range a.workloadsOf("", spec.GetSelector()) {
				secret := secrets[string(w.Ref.Namespace)+"/"+name]
				if secret != nil && !hasPair(secret) {
					a.say("IST0161", o.Ref(), at("spec.servers", i)+".tls.credentialName", fmt.Sprintf("Secret %s of namespace %s has no certificate and key", name, w.Ref.Namespace))
				}
			}
		}
	})
}

func hasPair(s *corev1.Secret) bool {
	has := func(key string) bool { return len(s.Data[key]) > 0 || s.StringData[key] != "" }
	return has("tls.crt") && has("tls.key") || has("cert") && has("key")
}
