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

// Datagrams are the clusters that the proxy's datagrams go to.
func Datagrams(v *view.View) []string {
	if v.Kind() != mesh.Router || !v.Can(mesh.FeatureUDP) {
		return nil
	}
	var out []string
	for _, p := range Ports(v) {
		if d := p.Datagram(v); d.Host != "" {
			out = append(out, d.Cluster())
		}
	}
	return out
}
