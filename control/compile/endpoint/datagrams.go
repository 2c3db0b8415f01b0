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
func datagrams(v *view.View, port uint16, host mesh.Host) (c chosen, ok bool) {
	if c.service, ok = v.Resolve(host); !ok || c.service.Resolution != mesh.Static {
		return c, false
	}
	c.port, ok = c.service.Datagrams(port)
	if ok {
		c.policy = v.Policy(v.Traffic(c.service), "", port)
	}
	return c, ok
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
			b, _ := Encode(v, view.DatagramName(d.Port, d.Host))
			for _, l := range decoded(b).Endpoints {
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
