package analyze

import (
	"fmt"
	"maps"
	"strings"

	corev1 "k8s.io/api/core/v1"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/mesh"
)

// full is a host as an object of a namespace means it.
func (a *analysis) full(host string, ns mesh.Namespace) mesh.Host {
	if host == "" || strings.Contains(host, ".") || strings.Contains(host, "*") {
		return mesh.Host(strings.ToLower(host))
	}
	return mesh.Host(fmt.Sprintf("%s.%s.svc.%s", strings.ToLower(host), ns, a.in.Settings.ClusterDomain))
}

// ingressSubsets looks for rules of gateways that leave the choice of a subset to a VirtualService of the host, which counts for sidecars only.
func (a *analysis) ingressSubsets() {
	chosen := map[mesh.Host]mesh.Ref{}
	each(a, func(o api.Object, spec *networking.VirtualService) {
		hosts := map[mesh.Host]bool{}
		for _, h := range spec.GetHosts() {
			hosts[a.full(h, o.Ref().Namespace)] = true
		}
		for _, h := range spec.GetHttp() {
			for _, r := range h.GetRoute() {
				if host := a.full(r.GetDestination().GetHost(), o.Ref().Namespace); r.GetDestination().GetSubset() != "" && hosts[host] {
					chosen[host] = o.Ref()
				}
			}
		}
	})
	each(a, func(o api.Object, spec *networking.VirtualService) {
		if len(spec.GetGateways()) == 0 {
			return
		}
		for i, h := range spec.GetHttp() {
			for j, r := range h.GetRoute() {
				other, known := chosen[a.full(r.GetDestination().GetHost(), o.Ref().Namespace)]
				if known && other != o.Ref() && r.GetDestination().GetSubset() == "" {
					a.say("IST0140", o.Ref(), at(at("spec.http", i)+".route", j)+".destination", fmt.Sprintf("the subsets that %s chooses for this host are not for requests of gateways", other))
				}
			}
		}
	})
}

// subsets looks for those that no workload of the host belongs to, where it is known which workloads there are.
func (a *analysis) subsets() {
	selectors := map[mesh.Host]mesh.Labels{}
	namespaces := map[mesh.Host]mesh.Namespace{}
	each(a, func(o api.Object, s *corev1.Service) {
		if len(s.Spec.Selector) > 0 {
			host := a.full(o.Meta.Name, o.Ref().Namespace)
			selectors[host], namespaces[host] = s.Spec.Selector, o.Ref().Namespace
		}
	})
	each(a, func(o api.Object, spec *networking.DestinationRule) {
		host := a.full(spec.GetHost(), o.Ref().Namespace)
		selector, known := selectors[host]
		if !known || len(a.workloadsOf(namespaces[host], selector)) == 0 {
			return
		}
		for i, s := range spec.GetSubsets() {
			want := maps.Clone(selector)
			maps.Copy(want, s.GetLabels())
			maps.DeleteFunc(want, func(k, _ string) bool { return strings.HasPrefix(k, "topology.") }) // the place of a workload is no label of it
			if len(a.workloadsOf(namespaces[host], want)) == 0 {
				a.say("IST0173", o.Ref(), at("spec.subsets", i)+".labels", fmt.Sprintf("no workload of %s has the labels %s", host, labelText(s.GetLabels())))
			}
		}
	})
}
