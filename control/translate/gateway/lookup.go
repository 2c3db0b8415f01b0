// Package gateway gives the objects of the Gateway API dialect their meaning: one pure function per kind, and the conditions of their status.
//
// In: a decoded api.Object and a Lookup for what other objects say. Out: nouns of package mesh, Problems, and a condition.Status in the vocabulary of the
// Gateway API. Nothing here has a clock, a goroutine, the network or a log, so everything may be called concurrently as far as the Lookup may.
package gateway

import (
	"strings"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/translate/condition"
	"github.com/heddle-mesh/heddle/control/translate/note"
	"github.com/heddle-mesh/heddle/mesh"
	networking "istio.io/api/networking/v1alpha3"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// Objects are the part of a Lookup that only knows what is written.
type Objects interface {
	// Settings are mesh-wide: cluster domain.
	Settings() *mesh.Settings
	// Object finds a valid object: GatewayClass, Gateway (of the Gateway API), ServiceEntry, Secret, ConfigMap.
	Object(ref mesh.Ref) (api.Object, bool)
}

// Lookup is what a translation asks about the rest of the mesh. Answers must stay the same during one call; an implementation may record what was asked.
type Lookup interface {
	Objects
	// Service finds the service that namespace from sees for a host.
	Service(host mesh.Host, from mesh.Namespace) (*mesh.Service, bool)
	// Grants are the ReferenceGrants of a namespace.
	Grants(ns mesh.Namespace) []api.Object
	// BackendTLSPolicies are those of a namespace.
	BackendTLSPolicies(ns mesh.Namespace) []api.Object
	// ListenerSets are those, of any namespace, whose parent is a Gateway.
	ListenerSets(gateway mesh.Ref) []api.Object
	// ClassDefaults are the ConfigMaps of the root namespace that say for which class they are (IsClassDefault).
	ClassDefaults() []api.Object
	// DefaultGateways are the Gateways that take routes which name no parent (SetDefault), in order.
	DefaultGateways() []mesh.Ref
	// NamespaceLabels are the labels of a namespace; false when it does not exist.
	NamespaceLabels(ns mesh.Namespace) (mesh.Labels, bool)
}

// visit is the state of one translation.
type visit struct {
	*note.Pad
	in  Lookup
	obj api.Object
	ns  mesh.Namespace
}

func open(o api.Object, in Lookup) *visit {
	return &visit{Pad: note.For(o), in: in, obj: o, ns: mesh.Namespace(o.Meta.Namespace)}
}

// cond makes a condition of the object's generation.
func (v *visit) cond(kind string, ok bool, reason, message string) condition.Condition {
	status := "False"
	if ok {
		status = "True"
	}
	return condition.Condition{Type: kind, Status: status, Reason: reason, Message: message, ObservedGeneration: v.obj.Meta.Generation}
}

// ours says whether a GatewayClass is Heddle's. The class heddle needs no object.
func ours(class string, in Lookup) bool {
	o, ok := in.Object(mesh.Ref{Group: api.GroupGateway, Kind: "GatewayClass", Name: class})
	if !ok {
		return class == condition.Class
	}
	spec, ok := o.Spec.(*gwv1.GatewayClassSpec)
	return ok && string(spec.ControllerName) == condition.Controller
}

// serviceHost is the name of a Kubernetes Service in the mesh.
func serviceHost(name string, ns mesh.Namespace, in Objects) mesh.Host {
	domain := in.Settings().ClusterDomain
	if domain == "" {
		domain = "cluster.local"
	}
	return mesh.Host(strings.ToLower(name) + "." + string(ns) + ".svc." + domain)
}

// entryHosts are the hosts of a ServiceEntry; none when it does not exist.
func entryHosts(name string, ns mesh.Namespace, in Objects) (out []mesh.Host) {
	o, _ := in.Object(mesh.Ref{Group: api.GroupNetworking, Kind: "ServiceEntry", Namespace: ns, Name: name})
	spec, ok := o.Spec.(*networking.ServiceEntry)
	if !ok {
		return nil
	}
	for _, h := range spec.Hosts {
		if host, err := mesh.ParseHost(h); err == nil {
			out = append(out, host)
		}
	}
	return out
}

// granted says whether namespace to lets objects of kind in namespace from refer to something of it (ReferenceGrant).
func granted(kind string, from mesh.Namespace, toGroup, toKind, toName string, to mesh.Namespace, in Lookup) bool {
	if from == to {
		return true
	}
	for _, g := range in.Grants(to) {
		spec, ok := g.Spec.(*gwv1.ReferenceGrantSpec)
		if !ok {
			continue
		}
		allowed := false
		for _, f := range spec.From {
			allowed = allowed || string(f.Group) == api.GroupGateway && string(f.Kind) == kind && mesh.Namespace(f.Namespace) == from
		}
		for _, t := range spec.To {
			if allowed && string(t.Group) == toGroup && string(t.Kind) == toKind && (t.Name == nil || *t.Name == "" || string(*t.Name) == toName) {
				return true
			}
		}
	}
	return false
}

// deref gives what a pointer points at, or the default.
func deref[T any](p *T, or T) T {
	if p == nil {
		return or
	}
	return *p
}
