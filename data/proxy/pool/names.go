package pool

import (
	"net/netip"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
	"github.com/heddle-mesh/heddle/data/proxy/resolve"
	"github.com/heddle-mesh/heddle/data/proxy/stats"
	"github.com/heddle-mesh/heddle/data/proxy/tcp"
	"github.com/heddle-mesh/heddle/data/proxy/upstream"
)

// NewNames looks up what clients name, except what leads to the proxy's own addresses. It is for all workers.
func NewNames(r resolve.Resolver, own func() []netip.Addr, counts *stats.Registry) *resolve.Names {
	return resolve.New(resolve.Options{Resolver: r, Own: own, Stats: counts})
}

// Look finds where a name leads that a client gave, for a cluster that goes by such names. done is called by the worker: at once when the name is known. cancel is nil then.
func (w *Worker) Look(c *upstream.Cluster, names *config.Names, name string, port uint16, done func(loop.Address, error)) (cancel func()) {
	if w.Names == nil || port == 0 {
		done(loop.Address{}, resolve.ErrName)
		return nil
	}
	given := func(ip netip.Addr, err error) {
		if err != nil {
			done(loop.Address{}, err)
			return
		}
		done(loop.TCP(netip.AddrPortFrom(ip, port)), nil)
	}
	over := false
	ip, err, wait := w.Names.Find(names, c.Config().Reach, name, func(ip netip.Addr, err error) {
		w.Loop.Post(func(*loop.Worker) {
			if !over {
				given(ip, err)
			}
		})
	})
	if wait == nil {
		given(ip, err)
		return nil
	}
	return func() {
		over = true
		wait.Cancel()
	}
}

// connectNamed connects to the server name of a client's TLS.
func (w *Worker) connectNamed(c *upstream.Cluster, to *config.WeightedName, from *loop.Origin, t *config.TCP, done func(tcp.Upstream, error)) (cancel func()) {
	def := c.Config()
	if def.Names == nil || def.Names.Name != t.Forward.Names.Name || from.ServerName == "" {
		return w.connect(c, to, from, t, loop.Address{}, done)
	}
	looking, returned := true, false
	stop := w.Look(c, def.Names, from.ServerName, t.Forward.Port, func(at loop.Address, err error) {
		looking = false
		switch {
		case err != nil && returned:
			done(tcp.Upstream{}, &tcp.Failure{Flag: "DF", Cluster: def})
		case err != nil:
			cancel = fails(w.Loop, done, &tcp.Failure{Flag: "DF", Cluster: def})
		default:
			cancel = w.connect(c, to, from, t, at, done)
		}
	})
	returned = true
	return func() {
		if looking && stop != nil {
			stop()
			return
		}
		cancel()
	}
}
