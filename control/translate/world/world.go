// Package world answers lookups of translation over a fixed list of objects: for validation without a running mesh, for analysis and for tests.
//
// In: all objects and the mesh's settings. Out: a World, which is immutable and safe for concurrent use, and the nouns that the objects mean together.
package world

import (
	"cmp"
	"slices"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/registry/kube"
	"github.com/heddle-mesh/heddle/control/translate"
	"github.com/heddle-mesh/heddle/control/translate/gateway"
	"github.com/heddle-mesh/heddle/control/translate/istio"
	"github.com/heddle-mesh/heddle/mesh"
	networking "istio.io/api/networking/v1alpha3"
)

// World is a closed set of objects.
type World struct {
	settings *mesh.Settings
	objects  map[mesh.Ref]api.Object
	order    []api.Object
	services map[mesh.Host][]*mesh.Service
	subsets  []subset
}

type subset struct {
	host     mesh.Host
	name     string
	owner    mesh.Namespace
	exportTo mesh.Visibility
}

// New makes a world of valid objects.
func New(settings *mesh.Settings, objects []api.Object) *World {
	w := &World{settings: settings, objects: map[mesh.Ref]api.Object{}, order: objects, services: map[mesh.Host][]*mesh.Service{}}
	for _, o := range objects {
		w.objects[o.Ref()] = o
	}
	for _, o := range objects {
		if d, _ := kube.Service(o, serviceDefaults(settings, istio.Distribution(o.Ref().Namespace, w))); d != nil {
			w.add(d.Services)
		}
	}
	for _, o := range objects {
		if e, _ := istio.ServiceEntry(o, w); e != nil {
			w.add(e.Services)
		}
	}
	for _, o := range objects {
		if spec, ok := o.Spec.(*networking.DestinationRule); ok && len(spec.Subsets) > 0 {
			if t, _ := istio.DestinationRule(o, w); t != nil {
				for _, s := range t.Subsets {
					w.subsets = append(w.subsets, subset{host: t.Host, name: s.Name, owner: o.Ref().Namespace, exportTo: t.ExportTo})
				}
			}
		}
	}
	return w
}

func serviceDefaults(s *mesh.Settings, near mesh.Nearness) kube.Defaults {
	return kube.Defaults{Domain: cmp.Or(s.ClusterDomain, "cluster.local"), TrustDomain: cmp.Or(s.TrustDomain, "cluster.local"), Seen: s.Exports.Services, Near: near}
}

func (w *World) add(services []*mesh.Service) {
	for _, s := range services {
		w.services[s.ID.Host] = append(w.services[s.ID.Host], s)
	}
}

// Settings are those that New was given.
func (w *World) Settings() *mesh.Settings { return w.settings }

// Service finds the service that a namespace sees for a host: its own one first, then the oldest.
func (w *World) Service(host mesh.Host, from mesh.Namespace) (*mesh.Service, bool) {
	if s := pick(w.services[host], from); s != nil {
		return s, true
	}
	var best *mesh.Service
	for pattern, list := range w.services {
		if pattern.IsWildcard() && pattern.Matches(host) && (best == nil || len(pattern) > len(best.ID.Host)) {
			if s := pick(list, from); s != nil {
				best = s
			}
		}
	}
	return best, best != nil
}

func pick(list []*mesh.Service, from mesh.Namespace) *mesh.Service {
	var best *mesh.Service
	for _, s := range list {
		switch {
		case !s.ExportTo.From(s.ID.Namespace, from):
		case best == nil, s.ID.Namespace == from && best.ID.Namespace != from:
			best = s
		case best.ID.Namespace != from && s.Created.Before(best.Created):
			best = s
		}
	}
	return best
}

// Subset says whether a DestinationRule that the namespace sees defines the subset.
func (w *World) Subset(host mesh.Host, name string, from mesh.Namespace) bool {
	return slices.ContainsFunc(w.subsets, func(s subset) bool {
		return s.name == name && s.host.Matches(host) && s.exportTo.From(s.owner, from)
	})
}

// Gateway says whether there is a Gateway of the dialect.
func (w *World) Gateway(id mesh.GatewayID) bool {
	group := api.GroupNetworking
	if id.Dialect == mesh.GatewayAPI {
		group = api.GroupGateway
	}
	_, ok := w.objects[mesh.Ref{Group: group, Kind: "Gateway", Namespace: id.Namespace, Name: id.Name}]
	return ok
}

// Object finds an object.
func (w *World) Object(ref mesh.Ref) (api.Object, bool) {
	o, ok := w.objects[ref]
	return o, ok
}

// Grants are the ReferenceGrants of a namespace.
func (w *World) Grants(ns mesh.Namespace) []api.Object { return w.listed("ReferenceGrant", ns) }

// BackendTLSPolicies are those of a namespace.
func (w *World) BackendTLSPolicies(ns mesh.Namespace) []api.Object {
	return w.listed("BackendTLSPolicy", ns)
}

// ListenerSets are those, of any namespace, whose parent is a Gateway.
func (w *World) ListenerSets(of mesh.Ref) (out []api.Object) {
	for _, o := range w.order {
		if parent, ok := gateway.SetParent(o); ok && parent == of {
			out = append(out, o)
		}
	}
	return out
}

// ClassDefaults are the ConfigMaps of the root namespace that say for which class of gateways they are.
func (w *World) ClassDefaults() (out []api.Object) {
	for _, o := range w.order {
		if gateway.IsClassDefault(o, w.settings.RootNamespace) {
			out = append(out, o)
		}
	}
	return out
}

// DefaultGateways are the Gateways that take routes which name no parent.
func (w *World) DefaultGateways() (out []mesh.Ref) {
	for _, o := range w.order {
		if gateway.IsDefault(o) {
			out = append(out, o.Ref())
		}
	}
	slices.SortFunc(out, mesh.CompareRef)
	return out
}

func (w *World) listed(kind string, ns mesh.Namespace) (out []api.Object) {
	for _, o := range w.order {
		if o.Kind.Gateway() && o.Kind.Kind == kind && o.Ref().Namespace == ns {
			out = append(out, o)
		}
	}
	return out
}

// NamespaceLabels are those of the Namespace object; a namespace that only other objects name exists without labels.
func (w *World) NamespaceLabels(ns mesh.Namespace) (mesh.Labels, bool) {
	if o, ok := w.objects[mesh.Ref{Kind: "Namespace", Name: string(ns)}]; ok {
		return o.Meta.Labels, true
	}
	return nil, slices.ContainsFunc(w.order, func(o api.Object) bool { return o.Ref().Namespace == ns })
}

// Result is what one object of a world means.
type Result struct {
	Object api.Object
	translate.Result
}

// Load decodes YAML and translates each object in the world that all of them make. Problems without object are those of the text itself.
func Load(settings *mesh.Settings, data []byte, file string) ([]Result, []mesh.Problem) {
	objects, problems := api.DecodeAll(data, file)
	return Translate(settings, objects, problems)
}

// Translate translates each object in the world that all of them make. problems are those of decoding; what is about none of the objects is given back.
func Translate(settings *mesh.Settings, objects []api.Object, problems []mesh.Problem) (out []Result, rest []mesh.Problem) {
	byRef := map[mesh.Ref][]mesh.Problem{}
	known := map[mesh.Ref]bool{}
	for _, o := range objects {
		known[o.Ref()] = true
	}
	for _, p := range problems {
		if known[p.Object] {
			byRef[p.Object] = append(byRef[p.Object], p)
		} else {
			rest = append(rest, p)
		}
	}
	var valid []api.Object
	for _, o := range objects {
		if api.Valid(byRef[o.Ref()]) {
			valid = append(valid, o)
		}
	}
	w := New(settings, valid)
	for _, o := range objects {
		out = append(out, Result{Object: o, Result: translate.Object(o, byRef[o.Ref()], w)})
	}
	return out, rest
}

// Core gives what an object of Kubernetes' own kinds that users write for the mesh, a Service or Namespace, asks for in vain.
func Core(o api.Object, settings *mesh.Settings) []mesh.Problem {
	if o.Kind == nil || !o.Kind.Conditioned() {
		return nil
	}
	_, problems := kube.Service(o, serviceDefaults(settings, mesh.Anywhere))
	return append(problems, translate.Marks(o, settings)...)
}
