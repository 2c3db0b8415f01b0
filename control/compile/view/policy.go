package view

import (
	"slices"

	"github.com/heddle-mesh/heddle/authz"
	"github.com/heddle-mesh/heddle/mesh"
)

// MTLS is the mode of a port of the proxy's workload: the narrowest scope that says something (workload port, workload, namespace, mesh),
// the oldest object within a scope. Nothing said is PERMISSIVE.
func (v *View) MTLS(port uint16) mesh.MTLSMode {
	own, root := v.Namespace(), v.Settings().RootNamespace
	mode := mesh.MTLSUnset
	objects, _ := read(v, mesh.OfAuthn, v.s.Authn, own)
	for _, a := range objects {
		if len(a.Scope.Selector) > 0 && own != root && v.ProxyMatches(a.Scope.Selector) {
			v.From(a.Origin)
			if m := a.Ports[port]; m != mesh.MTLSUnset {
				return m
			}
			mode = a.Mode
			break
		}
	}
	if mode == mesh.MTLSUnset {
		mode = v.wideMTLS(objects)
	}
	if mode == mesh.MTLSUnset && own != root {
		objects, _ = read(v, mesh.OfAuthn, v.s.Authn, root)
		mode = v.wideMTLS(objects)
	}
	if mode == mesh.MTLSUnset {
		return mesh.MTLSPermissive
	}
	return mode
}

// wideMTLS is what the oldest object without a selector says.
func (v *View) wideMTLS(objects []*mesh.PeerAuthn) mesh.MTLSMode {
	for _, a := range objects {
		if len(a.Scope.Selector) == 0 {
			v.From(a.Origin)
			return a.Mode
		}
	}
	return mesh.MTLSUnset
}

// Policies are the authorization policies in force on the proxy's workload with an action, ordered by namespace and name.
func (v *View) Policies(action authz.Action) []*mesh.Authorization {
	var out []*mesh.Authorization
	for _, ns := range v.policyNamespaces() {
		objects, _ := read(v, mesh.OfAuthz, v.s.Authz, ns)
		for _, a := range objects {
			if a.Policy.Action == action && !a.Policy.DryRun && v.ProxyMatches(a.Scope.Selector) {
				v.From(a.Origin)
				out = append(out, a)
			}
		}
	}
	return out
}

// Denials are what makes the proxy's workload deny on a port.
func (v *View) Denials(port uint16) []*mesh.Denial {
	var out []*mesh.Denial
	for _, ns := range []mesh.Namespace{"", v.Namespace()} {
		objects, _ := read(v, mesh.OfDenials, v.s.Denials, ns)
		for _, d := range objects {
			if (len(d.Ports) == 0 || slices.Contains(d.Ports, port)) && v.ProxyMatches(d.Scope.Selector) {
				v.From(d.Origin)
				out = append(out, d)
			}
		}
	}
	return out
}

func (v *View) policyNamespaces() []mesh.Namespace {
	own, root := v.Namespace(), v.Settings().RootNamespace
	if own == root {
		return []mesh.Namespace{own}
	}
	return []mesh.Namespace{root, own}
}
