package mesh

import "github.com/heddle-mesh/heddle/authz"

// Scope is what a policy applies to: mesh-wide (root namespace, no selector), a namespace, or selected workloads.
type Scope struct {
	Namespace Namespace // "" is the whole mesh
	Selector  Labels
}

// Covers says whether a workload is in scope.
func (s Scope) Covers(ns Namespace, l Labels) bool {
	return (s.Namespace == "" || s.Namespace == ns) && s.Selector.Selects(l)
}

// MTLSMode is PeerAuthentication's mode.
type MTLSMode uint8

// The modes; Unset inherits from the wider scope, and PERMISSIVE is the default of the mesh.
const (
	MTLSUnset MTLSMode = iota
	MTLSDisable
	MTLSPermissive
	MTLSStrict
)

// PeerAuthn is one PeerAuthentication.
type PeerAuthn struct {
	Origin Ref
	Age    int64 // creation time in Unix nanoseconds: the oldest wins within one scope
	Scope  Scope
	Mode   MTLSMode
	Ports  map[uint16]MTLSMode
}

// Authorization is one AuthorizationPolicy with its scope.
type Authorization struct {
	Origin Ref
	Scope  Scope
	Policy authz.Policy
}

// Denial makes the workloads in scope deny all requests, because an object that protects them cannot be enforced.
type Denial struct {
	Origin Ref
	Scope  Scope
	Ports  []uint16 // empty: all
	Reason string
}
