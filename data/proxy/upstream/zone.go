package upstream

import (
	"net/netip"
	"slices"

	"github.com/heddle-mesh/heddle/data/proxy/config"
)

// Home is where this proxy is: the cluster that it and its like form (local_cluster_name), and its own locality, or else the addresses by which it finds itself in that cluster.
// The zero Home keeps no request in its zone.
type Home struct {
	Cluster               string
	Region, Zone, Subzone string
	Addresses             []netip.Addr
}

// place names a locality, whatever its priority.
type place struct{ region, zone, subzone string }

func placeOf(l *config.Locality) place { return place{l.Region, l.Zone, l.Subzone} }

func (h Home) place() place { return place{h.Region, h.Zone, h.Subzone} }

// around is how the healthy endpoints of the local cluster are spread over localities, in units of 1/10,000. It is never changed.
type around struct {
	of   map[place]uint64
	here place   // where this proxy is
	well float64 // percent of the endpoints that are healthy
}

// aroundOf counts endpoints of the first priority.
func aroundOf(hosts []*Host, home Home) *around {
	p, total, all := &around{of: map[place]uint64{}, here: home.place()}, uint64(0), 0
	for _, h := range hosts {
		if home.place() == (place{}) && slices.Contains(home.Addresses, h.Address.Addr()) {
			p.here = placeOf(h.in)
		}
		if h.priority > 0 {
			continue
		}
		if all++; h.state() == healthy {
			p.of[placeOf(h.in)]++
			total++
		}
	}
	if total == 0 {
		return nil
	}
	p.well = 100 * float64(total) / float64(all)
	for k, n := range p.of {
		p.of[k] = n * whole / total
	}
	return p
}

const whole = 10_000

// zoned splits the healthy endpoints of the first priority so that requests stay in this proxy's locality as far as that burdens no endpoint more than others (Envoy, "Zone aware routing"). It says
// false where that cannot be, or need not be.
func (c *Cluster) zoned(def *config.Cluster, order []*gathered, w *weigher) (p priority, ok bool) {
	z, local := def.Zones, c.set.around.Load()
	if z == nil || local == nil || c.Name == c.set.Home.Cluster || local.well < def.Panic || def.Endpoints == nil {
		return p, false
	}
	total, home, here := uint64(0), -1, local.here
	for i, g := range order {
		total += uint64(len(g.hosts))
		if g.locality >= 0 && placeOf(&def.Endpoints.Localities[g.locality]) == here && len(g.hosts) > 0 {
			home = i
		}
	}
	ours := local.of[here]
	if len(order) < 2 || home < 0 || ours == 0 || total < z.Least {
		return p, false
	}
	shares, left := make([]uint64, len(order)), uint64(0)
	for i, g := range order {
		upstream, others := uint64(len(g.hosts))*whole/total, uint64(0)
		if g.locality >= 0 {
			others = local.of[placeOf(&def.Endpoints.Localities[g.locality])]
		}
		switch {
		case i == home && upstream >= ours:
			shares = make([]uint64, len(order))
			shares[home] = whole * whole
			return p.split(order, shares, z, w), true
		case i == home:
			shares[i] = upstream * whole / ours // of 10,000, finer below
		case upstream > others:
			shares[i] = upstream - others
			left += shares[i]
		}
	}
	stay := shares[home]
	for i := range shares {
		switch {
		case i == home:
			shares[i] = stay * whole
		case left > 0:
			shares[i] = (whole - stay) * shares[i] * whole / left
		}
		if left == 0 { // rounding has left nothing over: whoever
			shares[i] += (whole - stay) * whole / uint64(len(order))
		}
	}
	return p.split(order, shares, z, w), true
}

// split makes groups with shares of 10,000 times 10,000, and one of everybody for the requests that are not kept in their zone (routing_enabled).
func (p priority) split(order []*gathered, shares []uint64, z *config.Zones, w *weigher) priority {
	together := &gathered{}
	for i, g := range order {
		together.hosts = append(together.hosts, g.hosts...)
		if share := uint64(float64(shares[i]) * z.Percent / 100); share > 0 {
			p.add(g, share, w)
		}
	}
	if rest := uint64(whole * whole * (1 - z.Percent/100)); rest > 0 {
		p.add(together, rest, w)
	}
	return p
}

// relocate remakes what depends on where the proxies of the local cluster are. Call it with no lock but the local cluster's.
func (s *Set) relocate(local *Cluster, hosts []*Host) {
	if s.Home.Cluster == "" || local.Name != s.Home.Cluster {
		return
	}
	s.around.Store(aroundOf(hosts, s.Home))
	for _, c := range s.All() {
		if c != local && c.Config().Zones != nil {
			c.mu.Lock()
			c.remake()
			c.mu.Unlock()
		}
	}
}
