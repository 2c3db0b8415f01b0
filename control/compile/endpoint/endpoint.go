// Package endpoint compiles the endpoints of a cluster.
//
// In: a View and the cluster's name. Out: a ClusterLoadAssignment in bytes, grouped by locality, with what tells the client which endpoints take mutual TLS.
// Pure and safe for concurrent use.
package endpoint

import (
	"strings"

	"github.com/heddle-mesh/heddle/control/compile/view"
	"github.com/heddle-mesh/heddle/mesh"
)

// chosen is what the name of a cluster says of its endpoints.
type chosen struct {
	service *mesh.Service
	port    mesh.Port
	subset  mesh.Labels
	policy  mesh.TrafficPolicy // what the client obeys
	bySNI   bool               // what is passed on is the mesh's mutual TLS, which only some can end
}

// takes says whether an endpoint is one of the cluster's, if it has the port.
func (c *chosen) takes(e *mesh.Endpoint) bool {
	return e.Health == mesh.Healthy && c.subset.Selects(e.Labels) && (e.MTLS || !c.bySNI)
}

func choose(v *view.View, name string) (c chosen, ok bool) {
	if port, host, ok := view.ParseDatagramName(name); ok {
		return datagrams(v, port, host)
	}
	port, subset, host, ok := view.ParseClusterName(name)
	if !ok {
		if port, subset, host, c.bySNI = view.ParseSNI(name); !c.bySNI {
			return c, false
		}
	}
	if c.service, ok = v.Resolve(host); !ok || c.service.Resolution != mesh.Static {
		return c, false
	}
	if c.port, ok = c.service.Port(port); !ok {
		return c, false
	}
	t := v.Traffic(c.service)
	if subset != "" {
		sub, ok := view.Subset(t, subset)
		if !ok {
			return c, false
		}
		c.subset = sub.Labels
	}
	c.policy = v.Policy(t, subset, port)
	return c, true
}

// PortOf is the number that an endpoint listens on for a service port, 0 when it does not serve the port.
func PortOf(e *mesh.Endpoint, p mesh.Port) uint16 {
	if n, ok := e.Ports[p.Name]; ok {
		return n
	}
	if len(e.Ports) > 0 {
		return 0
	}
	if p.TargetPort != 0 {
		return p.TargetPort
	}
	return p.Number
}

// described says whether anything is known of the workload.
func described(e *mesh.Endpoint) bool { return e.WorkloadName != "" || e.Workload.Namespace != "" }

// Workload is Istio's short form for telemetry: WORKLOAD;NAMESPACE;CANONICAL-SERVICE;CANONICAL-REVISION;CLUSTER.
func Workload(e *mesh.Endpoint) string {
	return strings.ToValidUTF8(e.WorkloadName+";"+string(e.Workload.Namespace)+";"+e.CanonicalService+";"+e.CanonicalRevision+";"+string(e.Cluster), "\uFFFD")
}
