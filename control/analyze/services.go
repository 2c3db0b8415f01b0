package analyze

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/mesh"
)

func protocolOf(p corev1.ServicePort) mesh.Protocol {
	var app string
	if p.AppProtocol != nil {
		app = *p.AppProtocol
	}
	return mesh.SelectProtocol(uint16(p.Port), string(p.Protocol), p.Name, app) //nolint:gosec // Kubernetes keeps ports in range; another number only names another protocol
}

// portNames looks at what ports of Services say of their protocol.
func (a *analysis) portNames() {
	each(a, func(o api.Object, s *corev1.Service) {
		for i, p := range s.Spec.Ports {
			protocol := protocolOf(p)
			switch {
			case s.Spec.Type == corev1.ServiceTypeExternalName && (protocol == mesh.Auto || protocol == mesh.TCP):
				a.say("IST0150", o.Ref(), at("spec.ports", i), fmt.Sprintf("port %d (%q) is one of TCP, so a proxy cannot tell its host from others", p.Port, p.Name))
			case protocol == mesh.Auto && s.Spec.Type != corev1.ServiceTypeExternalName:
				a.say("IST0118", o.Ref(), at("spec.ports", i), fmt.Sprintf("port %d (%q) does not say its protocol", p.Port, p.Name))
			}
		}
	})
}

// sharedPods looks at Services that lead to the same workload and disagree about a port.
func (a *analysis) sharedPods() {
	type use struct {
		service string
		port    corev1.ServicePort
	}
	for _, w := range a.workloads {
		byPort, byTarget := map[int32][]use{}, map[string][]use{}
		each(a, func(o api.Object, s *corev1.Service) {
			if o.Ref().Namespace != w.Ref.Namespace || len(s.Spec.Selector) == 0 || !mesh.Labels(s.Spec.Selector).Selects(w.Labels) {
				return
			}
			for _, p := range s.Spec.Ports {
				byPort[p.Port] = append(byPort[p.Port], use{o.Meta.Name, p})
				target := p.TargetPort
				if target == (intstr.IntOrString{}) {
					target = intstr.FromInt32(p.Port)
				}
				byTarget[target.String()] = append(byTarget[target.String()], use{o.Meta.Name, p})
			}
		})
		for port, uses := range byPort {
			for _, u := range uses[1:] {
				if u.service != uses[0].service && protocolOf(u.port) != protocolOf(uses[0].port) {
					a.say("IST0116", w.Ref, "", fmt.Sprintf("Services %s and %s use its port %d with different protocols", uses[0].service, u.service, port))
					break
				}
			}
		}
		for target, uses := range byTarget {
			for _, u := range uses[1:] {
				if u.service != uses[0].service && u.port.Port != uses[0].port.Port {
					a.say("IST0137", w.Ref, "", fmt.Sprintf("Services %s and %s use its port %s as %d and as %d", uses[0].service, u.service, target, uses[0].port.Port, u.port.Port))
					break
				}
			}
		}
	}
}

// entries looks for TCP ports of ServiceEntries that nothing but their number tells apart: no address is given, and none is allocated for such an entry.
func (a *analysis) entries() {
	each(a, func(o api.Object, spec *networking.ServiceEntry) {
		allocated := spec.GetResolution() != networking.ServiceEntry_NONE
		for _, h := range spec.GetHosts() {
			allocated = allocated && !strings.HasPrefix(h, "*")
		}
		if allocated || len(spec.GetAddresses()) > 0 {
			return
		}
		for i, p := range spec.GetPorts() {
			if protocol := strings.ToUpper(p.GetProtocol()); protocol == "" || protocol == "TCP" {
				a.say("IST0134", o.Ref(), at("spec.ports", i), fmt.Sprintf("port %d is one of TCP, and the entry has no address and gets none", p.GetNumber()))
			}
		}
	})
}
