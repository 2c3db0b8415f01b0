package pool

import (
	"strings"

	"github.com/heddle-mesh/heddle/data/proxy/balance"
	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
	"github.com/heddle-mesh/heddle/data/proxy/tcp"
	"github.com/heddle-mesh/heddle/data/proxy/upstream"
)

// Connect implements tcp.Upstreams for the connections of this worker.
func (w *Worker) Connect(lw *loop.Worker, to *config.WeightedName, from *loop.Origin, t *config.TCP, done func(tcp.Upstream, error)) (cancel func()) {
	c := w.set.Cluster(to.Name)
	if c == nil {
		return fails(lw, done, &tcp.Failure{Flag: "NC"})
	}
	def := c.Config()
	if t.Forward != nil && def.Type == config.ClientNames {
		return w.connectNamed(c, to, from, t, done)
	}
	return w.connect(c, to, from, t, loop.Address{}, done)
}

// connect makes the connection; named is where the name leads that the client gave.
func (w *Worker) connect(c *upstream.Cluster, to *config.WeightedName, from *loop.Origin, t *config.TCP, named loop.Address, done func(tcp.Upstream, error)) (cancel func()) {
	lw, def, l := w.Loop, c.Config(), w.local(c)
	need := upstream.Need{Named: named, Original: from.Original, Hashed: t.HashSource, Match: to.Match}
	if t.HashSource {
		need.Hash = balance.Hash([]byte(from.Remote.Addr().String()))
	}
	if t.Tunnel == "" && !c.Breaker(0).Take(upstream.Connections, &def.Thresholds[0]) {
		w.Shard.Inc(l.stats.ConnectionOverflow)
		return fails(lw, done, &tcp.Failure{Flag: "UO", Cluster: def})
	}
	h := w.Choose(c, need)
	if h == nil {
		if t.Tunnel == "" {
			c.Breaker(0).Give(upstream.Connections)
		}
		return fails(lw, done, &tcp.Failure{Flag: "UH", Reason: strings.ReplaceAll(def.Denied, " ", "_"), Cluster: def})
	}
	if t.Tunnel != "" {
		c.Touch()
		return w.dig(h, destination(t.Tunnel, from), from, func(conn loop.Conn, f *tcp.Failure) {
			if f != nil {
				done(tcp.Upstream{}, f)
				return
			}
			done(tcp.Upstream{Conn: conn, Cluster: def, Endpoint: h.Config()}, nil)
		})
	}
	h.Begin()
	c.Touch()
	w.Shard.Inc(l.stats.Connections)
	w.Shard.Inc(l.stats.ConnectionsActive)
	release := func() {
		c.Breaker(0).Give(upstream.Connections)
		h.End()
		w.Shard.Inc(l.stats.ConnectionDestroy)
		w.Shard.Dec(l.stats.ConnectionsActive)
	}
	target := Target(h, "")
	if h.TLS != nil && h.TLS.AutoSNI() {
		target.SNI = from.ServerName
	}
	target.From, target.To, target.Extensions = from.Remote.AddrPort, from.Original.AddrPort, extensions(h, from)
	keepSource(&target, from)
	attempt := w.dialer.Dial(lw, target, func(conn loop.Conn, err error) {
		if err != nil {
			release()
			_, reason := w.connectFailed(l, err)
			w.Report(h, upstream.LocalFailure)
			done(tcp.Upstream{}, &tcp.Failure{Flag: tcp.ConnectFailed, Reason: reason, Cluster: def, Endpoint: h.Config(), Err: err})
			return
		}
		w.Report(h, upstream.Reached)
		done(tcp.Upstream{Conn: conn, Cluster: def, Endpoint: h.Config(), Release: func(error) { release() }}, nil)
	})
	return func() {
		attempt.Cancel()
		release()
	}
}

// fails tells of a failure after the caller has returned.
func fails(lw *loop.Worker, done func(tcp.Upstream, error), f *tcp.Failure) (cancel func()) {
	over := false
	lw.Defer(func() {
		if !over {
			done(tcp.Upstream{}, f)
		}
	})
	return func() { over = true }
}

// destination fills in what of a tunnel's destination is that of the connection.
func destination(pattern string, from *loop.Origin) string {
	if !strings.Contains(pattern, "%") {
		return pattern
	}
	at := from.Original
	if at.IsZero() {
		at = from.Local
	}
	return strings.NewReplacer(config.LocalAddress, at.String(), config.ServerName, from.ServerName).Replace(pattern)
}

var _ tcp.Upstreams = (*Worker)(nil)
