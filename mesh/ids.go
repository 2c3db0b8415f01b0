// Package mesh holds the nouns of the mesh: what the objects that users write mean, in either dialect.
//
// In: values built by control/translate and control/registry. Out: one immutable Snapshot that control/compile reads.
// Every value is immutable once it is part of a snapshot; nothing has a setter, and readers take no lock.
package mesh

import (
	"fmt"
	"strings"
)

// Host is a DNS name in lower case without trailing dot; it may start with "*." or be "*".
type Host string

// ParseHost normalises a name: lower case, no trailing dot. A short name stays short; the caller resolves it.
func ParseHost(s string) (Host, error) {
	s = strings.ToLower(strings.TrimSuffix(s, "."))
	if s == "" || len(s) > 253 {
		return "", fmt.Errorf("parse host %q: want 1 to 253 characters", s)
	}
	if rest := strings.TrimPrefix(s, "*"); strings.ContainsAny(rest, "*/ \t\r\n@?#") {
		return "", fmt.Errorf("parse host %q: a star is allowed only as the whole first label, and no spaces or slashes", s)
	}
	return Host(s), nil
}

// IsWildcard says whether the host starts with a star.
func (h Host) IsWildcard() bool { return strings.HasPrefix(string(h), "*") }

// Matches says whether the (possibly wildcard) host h covers the other host, by Istio's rule: "*.foo.com" covers "a.foo.com", "*.b.foo.com" and itself.
func (h Host) Matches(other Host) bool {
	if h == other || h == "*" {
		return true
	}
	suffix, ok := strings.CutPrefix(string(h), "*")
	return ok && len(other) > len(suffix) && strings.HasSuffix(string(other), suffix)
}

// ServiceID names a service: a host within the namespace that defines it.
type ServiceID struct {
	Namespace Namespace
	Host      Host
}

// String is NAMESPACE/HOST.
func (s ServiceID) String() string { return string(s.Namespace) + "/" + string(s.Host) }

// WorkloadID names what runs. Cluster is never empty.
type WorkloadID struct {
	Cluster   ClusterID
	Namespace Namespace
	Kind      string // Pod, WorkloadEntry
	Name      string
}

// ClusterID names a Kubernetes cluster (or the laptop); it is never empty.
type ClusterID string

// NetworkID names a layer-3 network; endpoints of one network reach each other directly. It is never empty.
type NetworkID string

// MeshID names the mesh.
type MeshID string

// Defaults of the names that are never empty.
const (
	DefaultCluster ClusterID = "Kubernetes"
	DefaultNetwork NetworkID = "default"
	RootNamespace  Namespace = "istio-system"
)

// Labels are Kubernetes labels.
type Labels map[string]string

// Selects says whether the labels, read as a selector, match other. An empty selector matches everything.
func (l Labels) Selects(other Labels) bool {
	for k, v := range l {
		if got, ok := other[k]; !ok || got != v {
			return false
		}
	}
	return true
}

// AnyHost covers every host.
const AnyHost Host = "*"
