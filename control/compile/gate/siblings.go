package gate

import (
	"slices"

	"github.com/heddle-mesh/heddle/mesh"
)

// meet tells the HTTP listeners of one Gateway of the Gateway API, which share a port, of each other: a request belongs to the one with the most specific host
// (Gateway.spec.listeners, "HTTP Listener Isolation").
func meet(servers []Server) {
	for i := range servers {
		for j := range servers {
			a, b := &servers[i], &servers[j]
			if i == j || a.Gateway.ID != b.Gateway.ID || a.Gateway.ID.Dialect != mesh.GatewayAPI || !a.requests() || !b.requests() {
				continue
			}
			for _, h := range b.Hosts {
				if !slices.Contains(a.Siblings, h.Host) && !a.owns(h.Host) {
					a.Siblings = append(a.Siblings, h.Host)
				}
			}
		}
		slices.Sort(servers[i].Siblings)
	}
}

// requests says whether the server reads requests.
func (s Server) requests() bool { return s.Protocol.IsHTTP() || s.Protocol == mesh.HTTPS }

func (s Server) owns(host mesh.Host) bool {
	return slices.ContainsFunc(s.Hosts, func(h mesh.ServerHost) bool { return h.Host == host })
}

// Yields says whether requests for a host belong to a sibling, whose host is more specific than the server's own.
func (s Server) Yields(host mesh.Host) bool {
	return slices.ContainsFunc(s.Siblings, func(sibling mesh.Host) bool {
		return sibling.Matches(host) && slices.ContainsFunc(s.Hosts, func(own mesh.ServerHost) bool { return own.Host.Matches(sibling) })
	})
}

// Shadows are the server's own hosts that a sibling would take for its own, were nothing there: what no route asks for is not found.
func (s Server) Shadows() (out []mesh.Host) {
	for _, own := range s.Hosts {
		if slices.ContainsFunc(s.Siblings, func(sibling mesh.Host) bool { return sibling.Matches(own.Host) }) {
			out = append(out, own.Host)
		}
	}
	return out
}
