// Package names says which host names a proxy's DNS server answers and with which addresses (the content of Istio's name table).
//
// In: the services that a proxy sees and their endpoints. Out: one entry per name. Pure; safe for concurrent use.
package names

import (
	"cmp"
	"iter"
	"net/netip"
	"slices"

	"github.com/heddle-mesh/heddle/mesh"
)

// Entry is one name with its addresses (istio.networking.nds.v1.NameTable.NameInfo).
type Entry struct {
	Host mesh.Host
	// Addresses are ordered: those of the service as it lists them, those of headless endpoints by value.
	Addresses []netip.Addr
	Registry  string // Kubernetes or External
	// ShortName and Namespace let the proxy answer "name" and "name.namespace"; they are set for Kubernetes services only.
	ShortName string
	Namespace mesh.Namespace
}

// Of lists the entries of one service: its own name, and for a headless service the names of its endpoints. A name without addresses is left out,
// so that the question goes on to the resolver outside. eps may be nil.
func Of(s *mesh.Service, eps *mesh.EndpointSet) []Entry {
	e := Entry{Host: s.ID.Host, Addresses: s.Addresses, Registry: s.Registry}
	if s.Registry == "Kubernetes" {
		e.ShortName, e.Namespace = s.ShortName, s.ID.Namespace
	}
	if !s.Headless {
		if len(e.Addresses) == 0 {
			return nil
		}
		return []Entry{e}
	}
	return headless(e, eps)
}

// headless answers with the endpoints themselves. Endpoints that are not ready are left out, as Kubernetes' DNS does.
func headless(e Entry, eps *mesh.EndpointSet) []Entry {
	if eps == nil {
		return nil
	}
	own := map[string][]netip.Addr{}
	e.Addresses = nil
	for _, ep := range eps.Endpoints {
		if ep.Address.Kind() != mesh.AddrIP || ep.Health != mesh.Healthy {
			continue
		}
		e.Addresses = append(e.Addresses, ep.Address.IP())
		if ep.Hostname != "" {
			own[ep.Hostname] = append(own[ep.Hostname], ep.Address.IP())
		}
	}
	if len(e.Addresses) == 0 {
		return nil
	}
	e.Addresses = ordered(e.Addresses)
	out := []Entry{e}
	for name, ips := range own {
		one := Entry{Host: mesh.Host(name + "." + string(e.Host)), Addresses: ordered(ips), Registry: e.Registry, Namespace: e.Namespace}
		if e.ShortName != "" {
			one.ShortName = name + "." + e.ShortName
		}
		out = append(out, one)
	}
	slices.SortFunc(out[1:], func(a, b Entry) int { return cmp.Compare(a.Host, b.Host) })
	return out
}

func ordered(ips []netip.Addr) []netip.Addr {
	slices.SortFunc(ips, netip.Addr.Compare)
	return slices.Compact(ips)
}

// Table is the whole name table: ordered by host; of two services with one host the first counts, so the caller passes the nearest first.
func Table(services iter.Seq[*mesh.Service], endpoints func(mesh.ServiceID) *mesh.EndpointSet) []Entry {
	var out []Entry
	seen := map[mesh.Host]bool{}
	for s := range services {
		var eps *mesh.EndpointSet
		if s.Headless {
			eps = endpoints(s.ID)
		}
		for _, e := range Of(s, eps) {
			if !seen[e.Host] {
				seen[e.Host] = true
				out = append(out, e)
			}
		}
	}
	slices.SortFunc(out, func(a, b Entry) int { return cmp.Compare(a.Host, b.Host) })
	return out
}
