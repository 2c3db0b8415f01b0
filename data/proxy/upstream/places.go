package upstream

import (
	"cmp"
	"encoding/json"
	"sync"

	"github.com/heddle-mesh/heddle/data/proxy/balance"
	"github.com/heddle-mesh/heddle/data/proxy/config"
)

// places is a group's ring or table. It is made when the first request needs it, because endpoints may change many times before.
type places struct {
	once   sync.Once
	shares []float64 // where loads are bounded
	hashed interface {
		Choose(hash uint64, attempt int) int
	}
}

// choose is the endpoint for a hash, or another where that one has too much to do already.
func (p *places) choose(cl *Cluster, def *config.Cluster, g *group, hash uint64, attempt int) int {
	p.once.Do(func() {
		k := keyed{g, def.HashHostnames}
		if def.Policy == config.Maglev {
			p.hashed = balance.NewMaglev(k, def.MaglevSize)
		} else {
			p.hashed = balance.NewRing(k, def.RingMin, def.RingMax)
		}
		if def.HashBalance > 0 {
			p.shares = g.Shares()
		}
	})
	i := p.hashed.Choose(hash, attempt)
	if p.shares == nil {
		return i
	}
	return balance.Bounded(g, p.shares, i, hash, uint64(max(0, cl.Breaker(0).Count(Requests)+cl.Breaker(1).Count(Requests))), def.HashBalance)
}

// keyed is a group as consistent hashing sees it.
type keyed struct {
	*group
	hostnames bool
}

// hashKey is the label (as JSON) that takes the place of an endpoint's address.
const hashKey = "hash_key"

// Key implements balance.Keyed: what places an endpoint is its address, so that it keeps its requests when others come and go; or its host name, or what its metadata says.
func (k keyed) Key(i int) string {
	h := k.hosts[i]
	var own string
	switch label := h.Config().Labels[hashKey]; {
	case label != "" && json.Unmarshal([]byte(label), &own) == nil && own != "":
		return own
	case k.hostnames:
		return cmp.Or(h.Config().Hostname, h.Config().Host, h.Config().Address.Addr().String()) // of an address that stands where a name may, it is the name
	}
	return h.Address.String()
}

// Shares implements balance.Keyed.
func (g *group) Shares() []float64 {
	if g.shares != nil {
		return g.shares
	}
	return balance.Shares(g.weights, 1)
}
