package upstream

import (
	"sync"

	"github.com/heddle-mesh/heddle/data/proxy/balance"
	"github.com/heddle-mesh/heddle/data/proxy/config"
)

// places is a group's ring or table. It is made when the first request needs it, because endpoints may change many times before.
type places struct {
	once   sync.Once
	hashed interface {
		Choose(hash uint64, attempt int) int
	}
}

func (p *places) of(g *group, def *config.Cluster) interface {
	Choose(hash uint64, attempt int) int
} {
	p.once.Do(func() {
		if def.Policy == config.Maglev {
			p.hashed = balance.NewMaglev(g, def.MaglevSize)
		} else {
			p.hashed = balance.NewRing(g, def.RingMin, def.RingMax)
		}
	})
	return p.hashed
}

// Key implements balance.Keyed: what places an endpoint is its address, so that it keeps its requests when others come and go.
func (g *group) Key(i int) string { return g.hosts[i].Address.String() }

// Shares implements balance.Keyed.
func (g *group) Shares() []float64 {
	if g.shares != nil {
		return g.shares
	}
	return balance.Shares(g.weights, 1)
}
