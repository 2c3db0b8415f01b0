package gate

import (
	"github.com/heddle-mesh/heddle/control/compile/view"
	"github.com/heddle-mesh/heddle/mesh"
)

// Datagram is where the datagrams of a port go: to a Service's port. The zero value is nowhere.
type Datagram struct {
	Host mesh.Host
	Port uint16
}

// Cluster is the name of the cluster that they go to.
func (d Datagram) Cluster() string {
	if d.Host == "" {
		return view.BlackHoleCluster
	}
	return view.DatagramName(d.Port, d.Host)
}

// Datagram is what the oldest route of the oldest server of the port says; the owners of others are told.
func (p Port) Datagram(v *view.View) (out Datagram) {
	claimed := false
	for _, s := range p.UDP {
		for _, r := range s.Routes(v) {
			if claimed {
				v.Notice(mesh.Problem{
					Object: r.Route.Origin, Field: "spec.parentRefs", Code: mesh.CodeConflict,
					Message: "an older route takes the datagrams of listener " + s.Name, Hint: "use another listener",
				})
				continue
			}
			claimed = true
			if rules := r.Route.UDP; len(rules) > 0 && len(rules[0].Backends) > 0 && rules[0].Backends[0].Invalid == "" {
				out = Datagram{rules[0].Backends[0].Host, rules[0].Backends[0].Port}
			}
		}
	}
	return out
}

// Captured is where the datagrams go that a workload sends to a service's port: where the oldest UDPRoute of the Service says, else to the service itself; the owners of
// others are told.
func Captured(v *view.View, t view.Target) (out Datagram) {
	out = Datagram{t.Service.ID.Host, t.Port.Number}
	claimed := false
	for _, r := range v.DatagramRoutes(t.Service.ID.Host) {
		rule := r.UDP[0]
		if rule.Port != 0 && rule.Port != t.Port.Number {
			continue
		}
		if claimed {
			v.Notice(mesh.Problem{
				Object: r.Origin, Field: "spec.parentRefs", Code: mesh.CodeConflict,
				Message: "an older route takes the datagrams of this Service's port", Hint: "name another port of the Service, or another Service",
			})
			continue
		}
		claimed, out = true, Datagram{}
		if len(rule.Backends) > 0 && rule.Backends[0].Invalid == "" {
			out = Datagram{rule.Backends[0].Host, rule.Backends[0].Port}
		}
	}
	return out
}

// Datagrams are the clusters that the proxy's datagrams go to.
func Datagrams(v *view.View) []string {
	var out []string
	if v.Kind() == mesh.Sidecar && v.Captured() && v.Can(mesh.FeatureUDPCapture) {
		for port := range v.PortNumbers() {
			for _, t := range v.Datagrams(port) {
				if d := Captured(v, t); d.Host != "" {
					out = append(out, d.Cluster())
				}
			}
		}
		return out
	}
	if v.Kind() != mesh.Router || !v.Can(mesh.FeatureUDP) {
		return nil
	}
	for _, p := range Ports(v) {
		if d := p.Datagram(v); d.Host != "" {
			out = append(out, d.Cluster())
		}
	}
	return out
}
