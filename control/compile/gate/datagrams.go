package gate

import (
	"net/netip"

	"slices"

	"github.com/heddle-mesh/heddle/control/compile/view"
	"github.com/heddle-mesh/heddle/mesh"
)

// Datagram is where a share of the datagrams of a port goes: to a Service's port, or, without a host, nowhere.
type Datagram struct {
	Host   mesh.Host
	Port   uint16
	Weight uint32
}

// Refused is why datagrams may not be sent to the share: its DestinationRule asks for what they cannot have, or nobody knows its endpoints. "" when they may.
func (d Datagram) Refused(v *view.View) string {
	s, ok := v.Resolve(d.Host)
	if !ok {
		return "there is no such Service"
	}
	switch p := v.Policy(v.Traffic(s), "", d.Port); {
	case p.TLS != nil && p.TLS.Mode != mesh.TLSDisable:
		return "TLS is not possible for datagrams"
	case p.Proxy != 0:
		return "a PROXY header is not possible for datagrams"
	case s.Resolution != mesh.Static:
		return "a share of datagrams needs endpoints with addresses"
	}
	return ""
}

// Datagrams is where all datagrams go that a gateway's port takes, or that a workload sends to a Service's port. A proxy's listener for UDP knows one cluster, so
// several shares are parts of one.
type Datagrams struct {
	port   uint16
	host   mesh.Host // of the Service that a workload sends to; "" at a gateway
	Shares []Datagram
}

// Cluster is the name of the cluster that they go to.
func (d Datagrams) Cluster() string {
	switch {
	case !slices.ContainsFunc(d.Shares, func(x Datagram) bool { return x.Host != "" }):
		return view.BlackHoleCluster
	case len(d.Shares) == 1:
		return view.DatagramName(d.Shares[0].Port, d.Shares[0].Host)
	}
	return view.DatagramShares(d.port, d.host)
}

// First is the first share that goes anywhere: its DestinationRule counts for all.
func (d Datagrams) First() Datagram {
	for _, s := range d.Shares {
		if s.Host != "" {
			return s
		}
	}
	return Datagram{}
}

func (d *Datagrams) take(rules []mesh.UDPRule) {
	d.Shares = nil
	if len(rules) == 0 {
		return
	}
	for _, b := range rules[0].Backends {
		s := Datagram{Weight: b.Weight}
		if b.Invalid == "" {
			s.Host, s.Port = b.Host, b.Port
		}
		d.Shares = append(d.Shares, s)
	}
}

// Datagrams is what the oldest route of the oldest server of the port says; the owners of others are told.
func (p Port) Datagrams(v *view.View) Datagrams {
	out := Datagrams{port: p.Number}
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
			out.take(r.Route.UDP)
		}
	}
	return out
}

// Captured is where the datagrams go that a workload sends to a service's port: where the oldest UDPRoute of the Service says, else to the service itself; the owners of
// others are told.
func Captured(v *view.View, t view.Target) Datagrams {
	out := Datagrams{port: t.Port.Number, host: t.Service.ID.Host, Shares: []Datagram{{Host: t.Service.ID.Host, Port: t.Port.Number}}}
	claimed := false
	for _, r := range v.DatagramRoutes(t.Service.ID.Host, t.Port.Number) {
		if claimed {
			v.Notice(mesh.Problem{
				Object: r.Origin, Field: "spec.parentRefs", Code: mesh.CodeConflict,
				Message: "an older route takes the datagrams of this Service's port", Hint: "name another port of the Service, or another Service",
			})
			continue
		}
		claimed = true
		out.take(r.UDP)
	}
	return out
}

// SharesOf finds again what DatagramShares named.
func SharesOf(v *view.View, name string) (Datagrams, bool) {
	port, host, ok := view.ParseDatagramShares(name)
	if !ok {
		return Datagrams{}, false
	}
	if v.Kind() == mesh.Router && host == "" {
		p, ok := At(v, netip.Addr{}, port)
		return p.Datagrams(v), ok
	}
	for _, t := range v.Datagrams(port) {
		if t.Service.ID.Host == host {
			return Captured(v, t), true
		}
	}
	return Datagrams{}, false
}

// DatagramClusters are the clusters that the proxy's datagrams go to.
func DatagramClusters(v *view.View) []string {
	var out []string
	if v.Kind() == mesh.Sidecar && v.Captured() && v.Can(mesh.FeatureUDPCapture) {
		for port := range v.PortNumbers() {
			for _, t := range v.Datagrams(port) {
				out = append(out, Captured(v, t).Cluster())
			}
		}
	}
	if v.Kind() == mesh.Router && v.Can(mesh.FeatureUDP) {
		for _, p := range Ports(v) {
			if len(p.UDP) > 0 {
				out = append(out, p.Datagrams(v).Cluster())
			}
		}
	}
	return out
}
