package gate

import (
	"iter"
	"slices"

	"github.com/heddle-mesh/heddle/control/compile/view"
	"github.com/heddle-mesh/heddle/mesh"
)

// Passed are the clusters, named by the server names that sidecars give, to which servers of mode AUTO_PASSTHROUGH pass connections on.
func Passed(v *view.View) []string {
	if v.Kind() != mesh.Router {
		return nil
	}
	var out []string
	for _, p := range Ports(v) {
		for _, s := range p.TLS {
			if s.TLS.Mode == mesh.ServerAutoPassthrough {
				out = slices.AppendSeq(out, s.Passed(v))
			}
		}
	}
	return out
}

// Passed are the server names that a server of mode AUTO_PASSTHROUGH takes, each the name of its cluster too: those of the mesh's own services that its hosts cover.
func (s Server) Passed(v *view.View) iter.Seq[string] {
	return func(yield func(string) bool) {
		for service := range v.Services() {
			if service.External || service.Resolution == mesh.PassthroughDest || service.Resolution == mesh.ClientNames || !s.covers(service.ID) {
				continue
			}
			for _, p := range service.Ports {
				if p.Protocol == mesh.UDP {
					continue
				}
				for _, subset := range subsets(v.Traffic(service)) {
					if !yield(view.SNI(p.Number, subset, service.ID.Host)) {
						return
					}
				}
			}
		}
	}
}

func subsets(t *mesh.Traffic) []string {
	out := []string{""}
	if t != nil {
		for _, s := range t.Subsets {
			out = append(out, s.Name)
		}
	}
	return out
}

// covers says whether a service is among the server's hosts.
func (s Server) covers(id mesh.ServiceID) bool {
	return slices.ContainsFunc(s.Hosts, func(h mesh.ServerHost) bool {
		return h.Host.Matches(id.Host) && (h.Namespace == "" || h.Namespace == "*" || h.Namespace == id.Namespace)
	})
}

// TLSRoute is a rule that chooses by server name, with the names for which it counts at a server; none means any.
type TLSRoute struct {
	Rule  *mesh.TLSRule
	Names []string
}

// TLSRoutes are the TLS rules in effect at a server, in order. A name counts where it is asked for first.
func (s Server) TLSRoutes(v *view.View) (out []TLSRoute) {
	taken := map[string]bool{}
	for _, r := range s.Routes(v) {
		for i := range r.Route.TLS {
			rule := &r.Route.TLS[i]
			var names []string
			any := false
			if len(rule.Matches) == 0 { // of a TLSRoute, which has settled it with its listener
				for _, h := range r.Hosts {
					if taken[string(h)] {
						continue
					}
					taken[string(h)] = true
					if any = any || h == "*"; h != "*" {
						names = append(names, string(h))
					}
				}
			}
			for _, m := range rule.Matches {
				if !s.L4(v, m) {
					continue
				}
				for _, h := range m.SNIHosts {
					name := string(h)
					if taken[name] || !slices.ContainsFunc(r.Hosts, func(x mesh.Host) bool { return x.Matches(h) }) {
						continue
					}
					taken[name] = true
					if any = any || h == "*"; h != "*" {
						names = append(names, name)
					}
				}
			}
			if len(names) > 0 {
				out = append(out, TLSRoute{rule, names})
			}
			if any {
				out = append(out, TLSRoute{Rule: rule})
			}
		}
	}
	return out
}

// L4 says whether a match counts at the server. Where it does not name the gateway, what it says of the client is about the gateway itself, as in Istio.
func (s Server) L4(v *view.View, m mesh.L4Match) bool {
	switch {
	case m.Port != 0 && m.Port != s.Port:
		return false
	case len(m.Gateways) > 0 || m.Mesh:
		return slices.Contains(m.Gateways, s.Gateway.ID)
	}
	return (m.SourceNamespace == "" || v.InNamespace(m.SourceNamespace)) && v.ProxyMatches(m.SourceLabels)
}
