// Package registry joins what sources say about services into services, endpoints and workloads.
//
// In: definitions (of a Service or ServiceEntry), slices of endpoints, instances (a Pod or WorkloadEntry), nodes, health. Out: after each batch, the
// services, endpoint sets and workloads that differ. The work grows with the change. An Index is for one goroutine; what it gives out is immutable.
package registry

import (
	"cmp"
	"net/netip"
	"time"

	"github.com/heddle-mesh/heddle/control/health"
	"github.com/heddle-mesh/heddle/control/registry/vip"
	"github.com/heddle-mesh/heddle/identity"
	"github.com/heddle-mesh/heddle/mesh"
)

// Definition is what one object says about services: a Kubernetes Service defines one, a ServiceEntry one for each host.
type Definition struct {
	Origin   mesh.Ref
	Services []*mesh.Service
	// Written are addresses that were given to the services before and stand in the object's status.
	Written map[mesh.ServiceID][]netip.Addr
	// Endpoints are those that the object itself lists (ServiceEntry.endpoints); their Ports may lack names, see Target.
	Endpoints []*mesh.Endpoint
	// Selector selects instances of the namespace; empty selects none.
	Selector mesh.Labels
	// Targets tells where a port goes on a selected instance, by service port name; a port without entry goes to its TargetPort or Number.
	Targets map[string]Target
	// Slices says that Pods come from endpoint slices, so that the selector yields only WorkloadEntries (Kubernetes Services).
	Slices bool
	// Unready says that endpoints which are not ready are called too (publishNotReadyAddresses).
	Unready bool
}

// Target is Service.spec.ports.targetPort: a number, or the name of a port of the instance.
type Target struct {
	Number uint16
	Name   string
}

// Slice is one EndpointSlice.
type Slice struct {
	Service   mesh.ServiceID
	Ports     map[string]uint16
	Endpoints []SliceEndpoint
}

// SliceEndpoint is one endpoint of a slice; all its addresses are the same thing.
type SliceEndpoint struct {
	Addresses []netip.Addr
	Pod       string // name of the Pod in the service's namespace, "" when it is none
	Hostname  string
	Zone      string
	Node      string
	Health    mesh.Health
}

// Instance is something that runs: a Pod or a WorkloadEntry.
type Instance struct {
	ID        mesh.WorkloadID
	Origin    mesh.Ref
	Created   time.Time
	Address   mesh.Address
	Addresses []netip.Addr // all, the first one included when it is an IP
	// Ports by name: a WorkloadEntry's by service port name, a Pod's by container port name.
	Ports          map[string]uint16
	Labels         mesh.Labels
	ServiceAccount string
	Cluster        mesh.ClusterID // "" is the registry's own
	Network        mesh.NetworkID // "" is the registry's own
	Locality       mesh.Locality
	Node           string // where it runs: the node's locality counts when it has none of its own
	Weight         uint32
	Name           string // the controller's name, for telemetry
	// Proxied says that a proxy of ours stands in front: it is healthy only while that proxy's stream lives.
	Proxied bool
	// NotReady says that the instance takes no traffic, whatever its proxy does: it is coming up, or leaving.
	NotReady bool
	// Failing says that the workload's own probe failed, or has not been heard of: then nobody calls it, whoever calls what is not ready.
	Failing bool
	MTLS    bool
	Tunnel  uint16
}

// Options are the registry's place in the mesh.
type Options struct {
	Cluster     mesh.ClusterID
	Network     mesh.NetworkID
	TrustDomain identity.TrustDomain
	// Health answers for instances with a proxy; nil: all are healthy.
	Health func(health.Workload) health.State
	// Addresses gives addresses to services without; nil: none are given.
	Addresses *vip.Allocator
}

// Delta is what differs after a batch. A nil value is a removal.
type Delta struct {
	Services  map[mesh.ServiceID]*mesh.Service
	Endpoints map[mesh.ServiceID]*mesh.EndpointSet
	Workloads map[mesh.WorkloadID]*mesh.Workload
	Problems  []mesh.Problem
	// Rivals are of objects that define a service which another one defines too: what they are told. Nothing is told of a name without any.
	Rivals map[mesh.Ref][]mesh.Problem
}

// Empty says whether nothing differs.
func (d Delta) Empty() bool { return len(d.Services)+len(d.Endpoints)+len(d.Workloads) == 0 }

func olderDefinition(a, b *Definition) int {
	return cmp.Or(cmp.Compare(rank(a), rank(b)), created(a).Compare(created(b)), cmp.Compare(a.Origin.Kind, b.Origin.Kind), cmp.Compare(a.Origin.Name, b.Origin.Name))
}

// rank puts a Service before a ServiceEntry of the same host, as Istio does.
func rank(d *Definition) int {
	if d.Origin.Kind == "Service" {
		return 0
	}
	return 1
}

func created(d *Definition) time.Time {
	if len(d.Services) == 0 {
		return time.Time{}
	}
	return d.Services[0].Created
}
