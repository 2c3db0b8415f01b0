package pool

import (
	"net/netip"

	"github.com/heddle-mesh/heddle/data/proxy/balance"
	"github.com/heddle-mesh/heddle/data/proxy/stats"
	"github.com/heddle-mesh/heddle/data/proxy/udp"
	"github.com/heddle-mesh/heddle/data/proxy/upstream"
)

// Datagrams are the UDP listeners whose sessions go to the endpoints of pools.
type Datagrams = udp.Set

// DatagramOptions are those of Datagrams besides what the pools have.
type DatagramOptions struct {
	Registry *stats.Registry
	Mark     int       // SO_MARK of the sockets towards endpoints, 0 for none
	Table    udp.Table // by which datagrams are captured, nil for none
	Log      func(worker int, e *udp.Ended)
}

// Table leads datagrams to the proxy.
type Table = udp.Table

// NewDatagrams makes an empty set.
func NewDatagrams(pools []*Worker, d DatagramOptions) *Datagrams {
	o := udp.Options{Registry: d.Registry, Mark: d.Mark, Table: d.Table, Log: d.Log}
	for _, p := range pools {
		o.Workers, o.Shards, o.Upstreams = append(o.Workers, p.Loop), append(o.Shards, p.Shard), append(o.Upstreams, p)
	}
	return udp.NewSet(o)
}

// Begin implements udp.Upstreams for the sessions of this worker.
func (w *Worker) Begin(cluster string, from netip.AddrPort, bySource bool) (udp.Endpoint, udp.Verdict) {
	c := w.set.Cluster(cluster)
	if c == nil {
		return udp.Endpoint{}, udp.NoCluster
	}
	if !c.Breaker(0).Take(upstream.Connections, &c.Config().Thresholds[0]) {
		w.Shard.Inc(w.local(c).stats.ConnectionOverflow)
		return udp.Endpoint{}, udp.Overflow
	}
	need := upstream.Need{Hashed: bySource}
	if bySource {
		need.Hash = balance.Hash([]byte(from.Addr().String()))
	}
	h := w.Choose(c, need)
	if h == nil || !h.Address.AddrPort.IsValid() {
		c.Breaker(0).Give(upstream.Connections)
		return udp.Endpoint{}, udp.NoEndpoint
	}
	h.Begin()
	return udp.Endpoint{
		Address: h.Address.AddrPort, Bind: Target(h, "").Bind.Addr(),
		Usable: func() bool { return !h.Gone() && !h.Ejected() },
		Release: func() {
			h.End()
			c.Breaker(0).Give(upstream.Connections)
		},
	}, udp.Begun
}

var _ udp.Upstreams = (*Worker)(nil)
