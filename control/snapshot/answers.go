package snapshot

import (
	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/config"
	"github.com/heddle-mesh/heddle/control/translate/gateway"
	"github.com/heddle-mesh/heddle/mesh"
)

// Answers answers what a translation asks (translate.Lookup) from a published snapshot and the objects of a store, for whoever wants to know what an object
// would mean without applying it. It is safe for concurrent use.
type Answers struct {
	Snapshot *mesh.Snapshot
	Store    *config.Store
}

// Settings are the snapshot's.
func (a Answers) Settings() *mesh.Settings { return a.Snapshot.Settings }

// Service finds the service for a host that a namespace sees.
func (a Answers) Service(host mesh.Host, from mesh.Namespace) (*mesh.Service, bool) {
	s := findService(a.Snapshot, host, from)
	return s, s != nil
}

// Subset says whether a rule that the namespace sees defines the subset.
func (a Answers) Subset(host mesh.Host, subset string, from mesh.Namespace) bool {
	return findSubset(a.Snapshot, host, subset, from)
}

// Gateway says whether a gateway exists.
func (a Answers) Gateway(id mesh.GatewayID) bool {
	_, ok := a.Snapshot.Gateways.Get(id)
	return ok
}

// Object finds a valid object.
func (a Answers) Object(ref mesh.Ref) (api.Object, bool) {
	e, ok := a.Store.Get(ref)
	if !ok || !api.Valid(e.Problems) {
		return api.Object{}, false
	}
	return e.Object, true
}

// Grants are the ReferenceGrants of a namespace.
func (a Answers) Grants(ns mesh.Namespace) []api.Object { return a.listed("ReferenceGrant", ns) }

// BackendTLSPolicies are those of a namespace.
func (a Answers) BackendTLSPolicies(ns mesh.Namespace) []api.Object {
	return a.listed("BackendTLSPolicy", ns)
}

// ListenerSets are those, of any namespace, whose parent is a Gateway.
func (a Answers) ListenerSets(of mesh.Ref) (out []api.Object) {
	for e := range a.Store.All() {
		if parent, ok := gateway.SetParent(e.Object); ok && parent == of {
			out = append(out, e.Object)
		}
	}
	return out
}

// ClassDefaults are the ConfigMaps of the root namespace that say for which class of gateways they are.
func (a Answers) ClassDefaults() (out []api.Object) {
	for e := range a.Store.All() {
		if gateway.IsClassDefault(e.Object, a.Snapshot.Settings.RootNamespace) {
			out = append(out, e.Object)
		}
	}
	return out
}

// DefaultGateways are the Gateways that take routes which name no parent.
func (a Answers) DefaultGateways() (out []mesh.Ref) {
	for e := range a.Store.All() {
		if gateway.IsDefault(e.Object) {
			out = append(out, e.Object.Ref())
		}
	}
	return out
}

func (a Answers) listed(kind string, ns mesh.Namespace) (out []api.Object) {
	for e := range a.Store.All() {
		if e.Object.Kind.Gateway() && e.Object.Kind.Kind == kind && e.Object.Meta.Namespace == string(ns) {
			out = append(out, e.Object)
		}
	}
	return out
}

// NamespaceLabels are those of the Namespace object; a namespace that only other objects name exists without labels.
func (a Answers) NamespaceLabels(ns mesh.Namespace) (mesh.Labels, bool) {
	if o, ok := a.Object(mesh.Ref{Kind: "Namespace", Name: string(ns)}); ok {
		return o.Meta.Labels, true
	}
	for e := range a.Store.All() {
		if e.Object.Meta.Namespace == string(ns) {
			return nil, true
		}
	}
	return nil, false
}
