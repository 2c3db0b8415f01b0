package endpoint

import (
	"strconv"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"

	"github.com/heddle-mesh/heddle/control/compile/gate"
	"github.com/heddle-mesh/heddle/control/compile/message"
	"github.com/heddle-mesh/heddle/control/compile/view"
	"github.com/heddle-mesh/heddle/mesh"
)

// discard is the port of the discard protocol (RFC 863).
const discard = 9

// datagrams are the endpoints that datagrams go to.
func datagrams(v *view.View, name string, port uint16, host mesh.Host) *endpointv3.ClusterLoadAssignment {
	s, ok := v.Resolve(host)
	if !ok || s.Resolution != mesh.Static {
		return nil
	}
	p, ok := s.Datagrams(port)
	if !ok {
		return nil
	}
	return Assignment(v, name, v.Endpoints(s.ID), s, p, nil, view.Policy(v.Traffic(s), "", port))
}

// datagramShares are the endpoints of several services, those of each in a locality of their own. A share without endpoints, or to which nothing may be sent, must not fall
// to the others: it is thrown away beside the proxy, at the port that is there for that.
func datagramShares(v *view.View, name string, to gate.Datagrams) *endpointv3.ClusterLoadAssignment {
	out := &endpointv3.ClusterLoadAssignment{ClusterName: name}
	for i, d := range to.Shares {
		part := &endpointv3.LocalityLbEndpoints{
			Locality: &corev3.Locality{Region: "share", Zone: strconv.Itoa(i)}, LoadBalancingWeight: message.UInt32(d.Weight),
		}
		if d.Refused(v) == "" {
			for _, l := range datagrams(v, name, d.Port, d.Host).GetEndpoints() {
				part.LbEndpoints = append(part.LbEndpoints, l.LbEndpoints...)
			}
		}
		if len(part.LbEndpoints) == 0 {
			part.LbEndpoints = []*endpointv3.LbEndpoint{{
				HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: message.Socket(v.Loopback(), discard)}},
				HealthStatus:   corev3.HealthStatus_HEALTHY, LoadBalancingWeight: message.UInt32(1),
			}}
		}
		out.Endpoints = append(out.Endpoints, part)
	}
	return out
}
