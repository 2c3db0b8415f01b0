package decode

import (
	"encoding/json"
	"maps"

	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/heddle-mesh/heddle/data/proxy/config"
)

// assignment reads endpoints. names allows host names as addresses, for clusters that look them up.
func (r *read) assignment(path string, m *endpointv3.ClusterLoadAssignment, names bool) *config.Assignment {
	out := &config.Assignment{Overprovisioning: number(m.GetPolicy().GetOverprovisioningFactor(), defaultOverprovision)}
	for i, l := range m.GetEndpoints() {
		p := at(path, "endpoints", i)
		locality := config.Locality{
			Region: l.GetLocality().GetRegion(), Zone: l.GetLocality().GetZone(), Subzone: l.GetLocality().GetSubZone(),
			Priority: l.GetPriority(), Weight: r.weight(p+".load_balancing_weight", l.GetLoadBalancingWeight().GetValue()),
		}
		if l.GetPriority() > 128 {
			r.add(p+".priority", "%d is above 128", l.GetPriority())
		}
		for j, e := range l.GetLbEndpoints() {
			locality.Endpoints = append(locality.Endpoints, r.endpoint(at(p, "lb_endpoints", j), e, names))
		}
		out.Localities = append(out.Localities, locality)
	}
	return out
}

// shared is the map of the endpoint before, if that is equal.
func shared(before *map[string]string, labels map[string]string) map[string]string {
	if !maps.Equal(labels, *before) {
		*before = labels
	}
	return *before
}

// jsonValues are the values of a struct, each in JSON, so that values of different kinds are never equal.
func jsonValues(s *structpb.Struct) map[string]string {
	out := make(map[string]string, len(s.GetFields()))
	for k, v := range s.GetFields() {
		if b, err := json.Marshal(v.AsInterface()); err == nil { // the keys of objects are sorted
			out[k] = string(b)
		}
	}
	return out
}

func (r *read) endpoint(path string, m *endpointv3.LbEndpoint, names bool) *config.Endpoint {
	if m.GetEndpoint() == nil {
		r.add(path+".endpoint", "it is missing")
		return &config.Endpoint{}
	}
	a := r.address(path+".endpoint.address", m.GetEndpoint().GetAddress())
	if a.host != "" && !names {
		r.add(path+".endpoint.address.socket_address.address", "%q is not an IP address", a.host)
	}
	md := m.GetMetadata().GetFilterMetadata()
	out := &config.Endpoint{
		Address: a.ip, Path: a.path, Host: a.host, Hostname: m.GetEndpoint().GetHostname(), Weight: 1,
		Transport: shared(&r.labels[0], words(md["envoy.transport_socket_match"])), Labels: shared(&r.labels[1], jsonValues(md["envoy.lb"])), Workload: md["istio"].GetFields()["workload"].GetStringValue(),
		Check: r.endpointCheck(path+".endpoint.health_check_config", m.GetEndpoint().GetHealthCheckConfig()),
	}
	if a.host != "" {
		out.Port = a.port
	}
	if w := m.GetLoadBalancingWeight(); w != nil {
		if out.Weight = r.weight(path+".load_balancing_weight", w.GetValue()); out.Weight == 0 {
			r.add(path+".load_balancing_weight", "want 1 or more")
		}
	}
	switch n := m.GetHealthStatus(); n {
	case 0, 1:
		out.Health = config.HealthStatus(n)
	case 2, 4: // UNHEALTHY, TIMEOUT
		out.Health = config.Unhealthy
	case 3:
		out.Health = config.Draining
	case 5:
		out.Health = config.Degraded
	default:
		r.add(path+".health_status", "%d is unknown", n)
	}
	return out
}
