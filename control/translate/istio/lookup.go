// Package istio gives the objects of the Istio dialect their meaning: one pure function per kind.
//
// In: a decoded api.Object and a Lookup for what other objects say. Out: nouns of package mesh, and Problems for every mistake and every populated field
// that is not honoured. An object with a fatal problem gives no noun. Nothing here has a clock, a goroutine, the network or a log, so everything may be
// called concurrently as far as the Lookup may.
package istio

import (
	"strings"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/mesh"
)

// Lookup is what a translation asks about the rest of the mesh. Answers must stay the same during one call; an implementation may record what was asked.
type Lookup interface {
	// Settings are mesh-wide: root namespace, cluster domain, trust domain.
	Settings() *mesh.Settings
	// Service finds the service that namespace from sees for a host: the host itself, or else the most specific wildcard service that covers it.
	Service(host mesh.Host, from mesh.Namespace) (*mesh.Service, bool)
	// Subset says whether some DestinationRule that namespace from sees defines the subset for the host.
	Subset(host mesh.Host, subset string, from mesh.Namespace) bool
	// Gateway says whether a Gateway of that name exists.
	Gateway(id mesh.GatewayID) bool
	// Object finds a valid object, or the last valid version of one that is broken.
	Object(ref mesh.Ref) (api.Object, bool)
	// NamespaceLabels are the labels of a namespace; false when it does not exist.
	NamespaceLabels(ns mesh.Namespace) (mesh.Labels, bool)
}

// meshGateway is the reserved gateway name for all sidecars.
const meshGateway = "mesh"

// domain is the cluster domain.
func domain(in Lookup) string {
	if d := in.Settings().ClusterDomain; d != "" {
		return d
	}
	return "cluster.local"
}

// resolve makes a short name a full one in the object's namespace, as Istio does: only a name without any dot is short.
func resolve(host string, ns mesh.Namespace, in Lookup) (mesh.Host, error) {
	h, err := mesh.ParseHost(host)
	if err != nil || h.IsWildcard() || strings.ContainsAny(string(h), ".:") {
		return h, err
	}
	return mesh.Host(string(h) + "." + string(ns) + ".svc." + domain(in)), nil
}

// rootNamespace is where mesh-wide policies live.
func rootNamespace(in Lookup) mesh.Namespace {
	if ns := in.Settings().RootNamespace; ns != "" {
		return ns
	}
	return mesh.RootNamespace
}

// visibility reads exportTo; bad is the index of an entry that is not understood, or -1.
func visibility(exportTo []string) (v mesh.Visibility, bad int) {
	for i, e := range exportTo {
		switch {
		case e == "*":
			if len(exportTo) > 1 {
				return mesh.Visibility{}, i
			}
			return mesh.Visibility{}, -1
		case e == ".":
			v.Private = true
		case e == "~":
			if len(exportTo) > 1 {
				return mesh.Visibility{}, i
			}
			v.Nobody = true
		case !dnsLabel(e):
			return mesh.Visibility{}, i
		default:
			v.Namespaces = append(v.Namespaces, mesh.Namespace(e))
		}
	}
	return v, -1
}

// exported is who sees an object of a kind that does not say it.
func exported(kind string, in Lookup) mesh.Visibility {
	switch e := in.Settings().Exports; kind {
	case "VirtualService":
		return e.VirtualServices
	case "DestinationRule":
		return e.DestinationRules
	default:
		return e.Services
	}
}

// dnsLabel says whether s is a valid name of a namespace (RFC 1123).
func dnsLabel(s string) bool {
	if s == "" || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

// gatewayID reads a gateway's name: NAME, NAMESPACE/NAME, ./NAME, or the old form NAME.NAMESPACE.svc.DOMAIN.
func gatewayID(s string, ns mesh.Namespace) mesh.GatewayID {
	id := mesh.GatewayID{Dialect: mesh.Istio, Namespace: ns, Name: s}
	if space, name, ok := strings.Cut(s, "/"); ok {
		id.Name = name
		if space != "." {
			id.Namespace = mesh.Namespace(space)
		}
	} else if parts := strings.Split(s, "."); len(parts) >= 3 && parts[2] == "svc" {
		id.Name, id.Namespace = parts[0], mesh.Namespace(parts[1])
	}
	return id
}
