package server

import (
	"errors"
	"reflect"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/accept"
	"github.com/heddle-mesh/heddle/data/proxy/accesslog"
	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/config/live"
	"github.com/heddle-mesh/heddle/data/proxy/filter/rbac"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
	"github.com/heddle-mesh/heddle/data/proxy/report"
	"github.com/heddle-mesh/heddle/data/proxy/tcp"
	"github.com/heddle-mesh/heddle/xds/nds"
)

func (s *Server) buildConfig() {
	decoder := s.decoder()
	if s.bootstrap != nil {
		decoder.Limits = s.bootstrap.Limits
	}
	o := live.Options{Decoder: decoder, Apply: s.apply, Secret: s.secrets.Set, Resolve: s.resolver(), Checked: s.checked, Log: s.opts.Log}
	if s.rotation != nil {
		o.Identity = func() bool { return s.rotation.Current() != nil }
	}
	if len(s.opts.DNS) > 0 {
		o.Names = func(t nds.Table) { s.dns.SetTable(t) }
	}
	s.live = live.New(o)
}

// checked says whether every endpoint of a cluster in force has had its first health check.
func (s *Server) checked(cluster string) bool {
	c := s.clusters.Cluster(cluster)
	return c != nil && !c.Unchecked()
}

// apply puts a configuration into force: upstreams before those who use them. When a part fails, the parts before it are taken back.
func (s *Server) apply(c *config.Config) error {
	former := s.live.Current()
	if err := s.clusters.Update(c.Clusters); err != nil {
		return err
	}
	back := func() {
		if err := s.clusters.Update(former.Clusters); err != nil {
			s.opts.Log.Error("clusters not taken back", "error", err)
		}
	}
	undo, err := s.requests.apply(c, former)
	if err != nil {
		back()
		return err
	}
	if err := s.datagrams.Apply(c.Listeners); err != nil {
		undo()
		back()
		return err
	}
	if err := s.listeners.Apply(c.Listeners); err != nil && !errors.Is(err, accept.ErrDraining) {
		if err := s.datagrams.Apply(former.Listeners); err != nil {
			s.opts.Log.Error("UDP listeners not taken back", "error", err)
		}
		undo()
		back()
		return err
	}
	s.requests.settle(c, former)
	s.forgetLimits(c)
	for i, w := range s.workers {
		w.Post(func(*loop.Worker) {
			s.sessions[i].Review(s.stands)
			s.pools[i].Sweep()
			s.probers[i].Review()
		})
	}
	return nil
}

// serve is where a connection goes whose transport is ready.
func (s *Server) serve(c loop.Conn, l *config.Listener, chain *config.Chain) {
	s.accepted.Add(1)
	if !s.within(c, chain) {
		return
	}
	if chain.HTTP != nil {
		if !s.requests.serve(c, chain) {
			s.serveAnew(c, l, chain)
		}
		return
	}
	i := c.Worker().Index()
	s.sessions[i].Serve(c, chain.TCP, s.pools[i], &report.Connections{Reporter: s.reporter, Direction: l.Direction}, l)
	if now, _ := s.listeners.Again(l.Name, c.Origin()); now != l { // the configuration changed during the handshake, and the review may be over
		s.sessions[i].Review(s.stands)
	}
}

// serveAnew is for a connection whose chain is not in force any more, because the configuration changed while it was inspected or shook hands: the chain that it would get
// now takes it, unless that is of another kind, or the peer would have to prove something else.
func (s *Server) serveAnew(c loop.Conn, l *config.Listener, former *config.Chain) {
	now, chain := s.listeners.Again(l.Name, c.Origin())
	if chain == nil || chain.HTTP == nil || !reflect.DeepEqual(chain.TLS, former.TLS) || !s.allow(now, chain, c.Origin()) || !s.requests.serve(c, chain) {
		c.Close()
	}
}

// stands says whether the listener in force would take an open TCP connection as it is, so that one which a changed policy or mode of TLS forbids does not stay
// open. Where the listener is gone nothing speaks against the connection.
func (s *Server) stands(r *tcp.Record) bool {
	l, chain := s.listeners.Again(r.Listener.Name, r.Downstream)
	if l == nil || l == r.Listener {
		return true
	}
	r.Listener = l
	return chain != nil && chain.TCP != nil && s.allow(l, chain, r.Downstream)
}

// refused writes the access log line of a connection that no chain served.
func (s *Server) refused(l *config.Listener, o *loop.Origin, why accept.Refusal) {
	flag, details := codec.NoFlag, ""
	if why == accept.NoChain {
		flag, details = codec.FlagNoRoute, "filter_chain_not_found"
	}
	s.opts.Log.Debug("connection refused", "listener", l.Name, "from", o.Remote.String(), "to", o.Original.String(), "flag", flag.String(), "reason", o.Failure)
	logConnection(l.AccessLogs, o, accesslog.Record{Flags: flag.String(), Details: details})
}

// allow asks the network RBAC of a chain. A TCP proxy logs a connection that it did not get, as Envoy's does.
func (s *Server) allow(l *config.Listener, chain *config.Chain, o *loop.Origin) bool {
	v, detail := rbac.Connection(chain.RBAC, o)
	if !v.Allowed {
		s.opts.Log.Debug("connection denied", "listener", l.Name, "chain", chain.Name, "from", o.Remote.String(), "detail", detail)
		if chain.TCP != nil {
			logConnection(chain.TCP.AccessLogs, o, accesslog.Record{Termination: detail})
		}
	}
	return v.Allowed
}

// logConnection writes the line of a connection that nobody served.
func logConnection(logs []config.AccessLog, o *loop.Origin, r accesslog.Record) {
	if len(logs) == 0 {
		return
	}
	r.Start, r.RequestDuration, r.ResponseDuration = time.Now(), -1, -1
	report.Downstream(&r, o)
	report.Log(0, logs, &r)
}
