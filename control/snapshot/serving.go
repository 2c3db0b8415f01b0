package snapshot

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/heddle-mesh/heddle/control/translate/gateway"
	"github.com/heddle-mesh/heddle/mesh"
)

// serving finds what serves a Gateway of the Gateway API.
func (b *Builder) serving(g *mesh.Gateway) (out gateway.Serving) {
	fronts := map[mesh.ServiceID]struct{}{}
	for _, w := range b.now.Workloads.All() {
		if !serves(w, g) {
			continue
		}
		out.Workloads++
		out.Own = append(out.Own, w.Addresses...)
		for _, s := range w.Services {
			fronts[s.Service] = struct{}{}
		}
	}
	for id, s := range b.now.Services.All() { // a Service that would select such workloads leads to the gateway before there are any
		if id.Namespace == g.Namespace && len(s.Selector) > 0 && len(g.Selector) > 0 && s.Selector.Selects(g.Selector) {
			fronts[id] = struct{}{}
		}
	}
	for id := range fronts {
		if s, ok := b.now.Services.Get(id); ok {
			out.Fronts = append(out.Fronts, b.front(s))
		}
	}
	slices.SortFunc(out.Fronts, func(x, y gateway.Front) int { return cmp.Compare(x.Name, y.Name) })
	return out
}

// front is a service as one that leads to a gateway. An address that was given leads there from inside the mesh only.
func (b *Builder) front(s *mesh.Service) gateway.Front {
	f := gateway.Front{Name: string(s.ID.Namespace) + "/" + s.ShortName}
	if !s.AutoAddress {
		f.Inside = s.Addresses
	}
	e, ok := b.get(s.Origin)
	if !ok {
		return f
	}
	svc, ok := e.Object.Spec.(*corev1.Service)
	if !ok {
		return f
	}
	f.Balanced = svc.Spec.Type == corev1.ServiceTypeLoadBalancer
	for _, in := range svc.Status.LoadBalancer.Ingress {
		if at := cmp.Or(in.IP, in.Hostname); at != "" {
			f.Outside = append(f.Outside, at)
		}
	}
	f.Outside = append(f.Outside, svc.Spec.ExternalIPs...)
	return f
}

func serves(w *mesh.Workload, g *mesh.Gateway) bool {
	return g.ID.Dialect == mesh.GatewayAPI && len(g.Selector) > 0 && w.ID.Namespace == g.Namespace && g.Selector.Selects(w.Labels)
}

// tellGates marks the status of the gateways that a workload served or serves now.
func (b *Builder) tellGates(workloads ...*mesh.Workload) {
	for _, g := range b.now.Gateways.All() {
		if slices.ContainsFunc(workloads, func(w *mesh.Workload) bool { return w != nil && serves(w, g) }) {
			b.told[gatewayRef(g.ID)] = struct{}{}
		}
	}
}

// tellGatesIn marks the status of the gateways whose workloads a Service of the namespace may lead to.
func (b *Builder) tellGatesIn(ns mesh.Namespace) {
	for _, g := range b.now.Gateways.All() {
		if g.ID.Dialect == mesh.GatewayAPI && g.Namespace == ns {
			b.told[gatewayRef(g.ID)] = struct{}{}
		}
	}
}
