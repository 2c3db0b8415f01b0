package snapshot

import (
	"fmt"
	"iter"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/config"
	"github.com/heddle-mesh/heddle/control/translate"
	"github.com/heddle-mesh/heddle/control/translate/condition"
	"github.com/heddle-mesh/heddle/control/translate/gateway"
	"github.com/heddle-mesh/heddle/mesh"
)

// objectVersion tells one answer about an object from another.
type objectVersion struct {
	revision uint64 // of the store, 0 for a last valid version
	spec     any    // a pointer
}

func (b *Builder) findObject(ref mesh.Ref) (api.Object, objectVersion) {
	e, ok := b.get(ref)
	switch {
	case !ok:
		return api.Object{}, objectVersion{}
	case api.Valid(e.Problems) || !e.Object.Kind.Istio() && !e.Object.Kind.Gateway():
		return e.Object, objectVersion{revision: e.Revision}
	}
	last, _ := b.accepted.Get(ref)
	return last, objectVersion{spec: last.Spec}
}

// listKey names the objects of a kind of the Gateway API in a namespace, or the ConfigMaps for classes of gateways.
type listKey struct {
	kind string
	ns   mesh.Namespace
}

// listedKinds are the kinds of which translations ask for all objects of a namespace.
var listedKinds = []string{"ReferenceGrant", "BackendTLSPolicy"}

func (b *Builder) findListed(of listKey) (list []api.Object, version string) {
	return b.findAll(b.listed[of])
}

// findSets are the ListenerSets of a Gateway.
func (b *Builder) findSets(gateway mesh.Ref) (list []api.Object, version string) {
	return b.findAll(b.sets[gateway])
}

func (b *Builder) findAll(refs map[mesh.Ref]struct{}) (list []api.Object, version string) {
	var text strings.Builder
	for _, ref := range slices.SortedFunc(maps.Keys(refs), mesh.CompareRef) {
		if o, v := b.findObject(ref); o.Kind != nil {
			list = append(list, o)
			fmt.Fprintf(&text, "%s %d %p\n", ref, v.revision, v.spec)
		}
	}
	return list, text.String()
}

// presentSet keeps the index of ListenerSets by their Gateways, by what they say now.
func (b *Builder) presentSet(ref mesh.Ref, e *config.Entry) {
	if ref.Group != api.GroupGateway || ref.Kind != "ListenerSet" {
		return
	}
	if old, ok := b.setOf[ref]; ok {
		cut(b.sets, old, ref)
		delete(b.setOf, ref)
		defer b.recheck([]question{{kind: askSets, object: old}})
	}
	o, _ := b.findObject(ref)
	if parent, ok := gateway.SetParent(o); e != nil && ok {
		put(b.sets, parent, ref, struct{}{})
		b.setOf[ref] = parent
		b.recheck([]question{{kind: askSets, object: parent}})
	}
}

// presentClassDefault keeps the index of ConfigMaps for classes of gateways, by what they say now.
func (b *Builder) presentClassDefault(ref mesh.Ref, e *config.Entry) {
	if ref.Kind == "ConfigMap" && ref.Namespace == b.now.Settings.RootNamespace {
		index(b.listed, listKey{ref.Kind, ref.Namespace}, ref, e != nil && gateway.IsClassDefault(e.Object, ref.Namespace))
	}
}

// presentDefault keeps the set of default Gateways, by what they say now.
func (b *Builder) presentDefault(ref mesh.Ref, present bool) {
	if ref.Group != api.GroupGateway || ref.Kind != "Gateway" {
		return
	}
	o, _ := b.findObject(ref)
	delete(b.defaults, ref)
	if present && gateway.IsDefault(o) {
		b.defaults[ref] = struct{}{}
	}
	b.recheck([]question{{kind: askDefaults}})
}

// findDefaults are the default Gateways.
func (b *Builder) findDefaults() (list []mesh.Ref, version string) {
	list = slices.SortedFunc(maps.Keys(b.defaults), mesh.CompareRef)
	return list, fmt.Sprint(list)
}

// namespaceVersion tells one answer about a namespace from another.
type namespaceVersion struct {
	exists   bool
	revision uint64
}

func (b *Builder) findNamespace(ns mesh.Namespace) (mesh.Labels, bool, namespaceVersion) {
	if e, ok := b.objects.Get(mesh.Ref{Kind: "Namespace", Name: string(ns)}); ok {
		return e.Object.Meta.Labels, true, namespaceVersion{true, e.Revision}
	}
	exists := len(b.within[ns]) > 0
	return nil, exists, namespaceVersion{exists: exists}
}

// present keeps the indexes of objects that lookups need.
func (b *Builder) present(ref mesh.Ref, ok bool) {
	if ref.Namespace == "" {
		return
	}
	index(b.within, ref.Namespace, ref, ok)
	if ref.Group == api.GroupGateway && slices.Contains(listedKinds, ref.Kind) {
		index(b.listed, listKey{ref.Kind, ref.Namespace}, ref, ok)
	}
}

func index[K comparable](m map[K]map[mesh.Ref]struct{}, k K, ref mesh.Ref, present bool) {
	if present {
		put(m, k, ref, struct{}{})
	} else {
		cut(m, k, ref)
	}
}

// aboutObject lists the questions whose answer may depend on an object itself.
func (b *Builder) aboutObject(ref mesh.Ref) []question {
	switch {
	case ref.Kind == "Namespace":
		return []question{{kind: askNamespace, from: mesh.Namespace(ref.Name)}, {kind: askObject, object: ref}}
	case ref.Group == api.GroupGateway && slices.Contains(listedKinds, ref.Kind):
		return []question{{kind: askListed, of: ref.Kind, from: ref.Namespace}, {kind: askNamespace, from: ref.Namespace}}
	}
	out := []question{{kind: askObject, object: ref}, {kind: askNamespace, from: ref.Namespace}}
	if ref.Kind == "ConfigMap" {
		out = append(out, question{kind: askListed, of: ref.Kind, from: ref.Namespace})
	}
	return out
}

// stated is what an object's status should say, before what others add to it.
type stated struct {
	object api.Object
	status *condition.Status
}

// state notes the status of an object; a new generation is told even when nothing else differs.
func (b *Builder) state(ref mesh.Ref, o api.Object, s *condition.Status) {
	if s == nil {
		delete(b.status, ref)
		return
	}
	if old := b.status[ref]; old.status == nil || !reflect.DeepEqual(old.status, s) {
		b.told[ref] = struct{}{}
	}
	b.status[ref] = stated{o, s}
}

// Status is what the status of an object should say now; nil when it is not Heddle's to write.
func (b *Builder) Status(ref mesh.Ref) *condition.Status {
	s, ok := b.status[ref]
	if !ok {
		return nil
	}
	if s.object.Kind.Istio() {
		out := translate.Status(s.object, b.Problems(ref))
		if d := b.nouns[ref].definition; ref.Kind == "ServiceEntry" && d != nil {
			out.Addresses, out.Assigned = b.assigned(d), true
		}
		return out
	}
	if ref.Kind == "Gateway" {
		id := mesh.GatewayID{Dialect: mesh.GatewayAPI, Namespace: ref.Namespace, Name: ref.Name}
		routes, _ := b.now.GateRoutes.Get(id)
		with := gateway.WithRoutes(*s.status, id, routes)
		if g, ok := b.now.Gateways.Get(id); ok {
			with = gateway.WithServing(with, g, b.serving(g))
		}
		return &with
	}
	if ref.Kind == "ListenerSet" {
		id := mesh.GatewayID{Dialect: mesh.GatewayAPI, Namespace: ref.Namespace, Name: ref.Name, Set: true}
		routes, _ := b.now.GateRoutes.Get(id)
		with := gateway.WithRoutes(*s.status, id, routes)
		if parent := b.Status(b.setOf[ref]); parent != nil {
			with = gateway.WithParent(with, *parent)
		}
		return &with
	}
	if ref.Kind == "BackendTLSPolicy" {
		with := gateway.WithAncestors(*s.status, s.object, b.routes(), written{b})
		return &with
	}
	if r, ok := b.now.Routes.Get(ref); ok {
		with := gateway.WithRivals(*s.status, s.object, r, func(g mesh.GatewayID) []*mesh.Route { routes, _ := b.now.GateRoutes.Get(g); return routes }, written{b})
		return &with
	}
	return s.status
}

// written answers from the objects as they are now, without a record of what was asked.
type written struct{ b *Builder }

// Settings are constant for the life of the builder.
func (w written) Settings() *mesh.Settings { return w.b.now.Settings }

// Object finds a valid object, or the last valid version of one that is broken.
func (w written) Object(ref mesh.Ref) (api.Object, bool) {
	o, _ := w.b.findObject(ref)
	return o, o.Kind != nil
}

// routes are all routes.
func (b *Builder) routes() iter.Seq[*mesh.Route] {
	return func(yield func(*mesh.Route) bool) {
		for _, r := range b.now.Routes.All() {
			if !yield(r) {
				return
			}
		}
	}
}

func gatewayRef(id mesh.GatewayID) mesh.Ref {
	kind := "Gateway"
	if id.Set {
		kind = "ListenerSet"
	}
	return mesh.Ref{Group: api.GroupGateway, Kind: kind, Namespace: id.Namespace, Name: id.Name}
}
