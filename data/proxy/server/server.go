package server

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/heddle-mesh/heddle/data/proxy/accept"
	"github.com/heddle-mesh/heddle/data/proxy/accesslog"
	"github.com/heddle-mesh/heddle/data/proxy/admin"
	"github.com/heddle-mesh/heddle/data/proxy/announce"
	"github.com/heddle-mesh/heddle/data/proxy/config/decode"
	"github.com/heddle-mesh/heddle/data/proxy/config/live"
	"github.com/heddle-mesh/heddle/data/proxy/dial"
	"github.com/heddle-mesh/heddle/data/proxy/dns"
	"github.com/heddle-mesh/heddle/data/proxy/handover"
	"github.com/heddle-mesh/heddle/data/proxy/health"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
	"github.com/heddle-mesh/heddle/data/proxy/overload"
	"github.com/heddle-mesh/heddle/data/proxy/pool"
	"github.com/heddle-mesh/heddle/data/proxy/report"
	"github.com/heddle-mesh/heddle/data/proxy/secret"
	"github.com/heddle-mesh/heddle/data/proxy/stats"
	"github.com/heddle-mesh/heddle/data/proxy/tcp"
	"github.com/heddle-mesh/heddle/data/proxy/tls"
	"github.com/heddle-mesh/heddle/data/proxy/trace"
	"github.com/heddle-mesh/heddle/data/proxy/upstream"
	"github.com/heddle-mesh/heddle/xds/client"
)

// Server is one proxy; one field per part.
type Server struct {
	opts      Options
	bootstrap *decode.Bootstrap
	packed    admin.Packed // the bootstrap file's message
	node      *corev3.Node

	registry  *stats.Registry
	shards    []*stats.Shard // by worker
	logs      *accesslog.Files
	secrets   *secret.Store
	rotation  *secret.Rotation // nil without a workload
	clusters  *upstream.Set
	dialer    *dial.Dialer
	workers   []*loop.Worker
	pools     []*pool.Worker
	probers   []*health.Prober
	sessions  []*tcp.Sessions
	requests  *requests
	traces    *tracers
	tap       *report.Tap
	listeners *accept.Set
	datagrams *pool.Datagrams
	live      *live.Live
	xds       *client.Client // nil without ADS
	dns       *dns.Server    // nil without names
	admin     *admin.Server
	reporter  *report.Reporter
	overload  *overload.Manager // nil without
	limits    sync.Map          // of *config.ConnectionLimit to *limiter

	sockets  []net.Listener // of admin and status pages
	servers  []*http.Server
	draining atomic.Bool
	// succeeded is set when another process has taken the sockets over.
	succeeded atomic.Bool
	stop      context.CancelFunc
	quit      chan struct{}
	quitOnce  sync.Once
	accepted  atomic.Int64 // counts accepted connections, for draining
	running   sync.WaitGroup
}

// New reads the configuration and builds all parts.
func New(o Options) (*Server, error) {
	s := &Server{opts: o, registry: stats.New(), logs: &accesslog.Files{Workers: o.Concurrency, Log: o.Log}, secrets: &secret.Store{Log: o.Log}, quit: make(chan struct{})}
	if err := s.read(); err != nil {
		return nil, err
	}
	if err := s.buildWorkers(); err != nil {
		return nil, err
	}
	if err := s.buildIdentity(); err != nil {
		return nil, err
	}
	s.buildConfig()
	if err := s.buildNames(); err != nil {
		return nil, err
	}
	if err := s.buildControl(); err != nil {
		return nil, err
	}
	s.buildAdmin()
	return s, nil
}

// read takes in the bootstrap file and the node.
func (s *Server) read() (err error) {
	if s.opts.Bootstrap != nil {
		if s.bootstrap, err = s.decoder().Bootstrap(s.opts.Bootstrap); err != nil {
			return err
		}
		s.node, s.opts.Bootstrap = s.bootstrap.Node, nil
		if s.packed, err = admin.Pack(s.bootstrap.Message); err != nil {
			return fmt.Errorf("encode the bootstrap: %w", err)
		}
	}
	if w := s.opts.Workload; w != nil {
		if err := w.Check(); err != nil {
			return err
		}
		if s.node, err = w.Node(); err != nil {
			return err
		}
	}
	if s.opts.Admin == "" && s.bootstrap != nil {
		s.opts.Admin = s.bootstrap.Admin
	}
	if s.opts.Admin != "" {
		return loopback(s.opts.Admin)
	}
	return nil
}

func (s *Server) buildWorkers() error {
	slow := make(chan struct{}, 64)
	for i := range s.opts.Concurrency {
		w, err := loop.NewKernel(loop.Settings{Index: i, Seed: rand.Uint64(), Goroutines: slow})
		if err != nil {
			return fmt.Errorf("start worker %d: %w", i, err)
		}
		s.workers = append(s.workers, w)
	}
	return s.buildPlane()
}

// localCluster is the cluster that this proxy and its like form, "" for none.
func (s *Server) localCluster() string {
	switch w := s.opts.Workload; {
	case s.bootstrap != nil:
		return s.bootstrap.LocalCluster
	case w != nil && w.SelfDiscovery:
		return announce.LocalCluster
	}
	return ""
}

// buildPlane gives the workers what they do.
func (s *Server) buildPlane() (err error) {
	gate := tls.NewGate(max(s.opts.Concurrency, 2))
	s.dialer = &dial.Dialer{Mark: s.opts.Mark, Gate: gate}
	if s.opts.Outside != "" {
		s.dialer.Outside = &dial.Outside{Relay: loop.Unix(absolute(s.opts.Outside)), Inside: s.opts.Inside}
	}
	s.clusters = upstream.NewSet(s.secrets, s.opts.Log)
	l := s.node.GetLocality()
	s.clusters.Home = upstream.Home{Cluster: s.localCluster(), Region: l.GetRegion(), Zone: l.GetZone(), Subzone: l.GetSubZone()}
	if w := s.opts.Workload; w != nil {
		s.clusters.Home.Addresses = w.IPs
	}
	s.clusters.Stats, s.clusters.Shard = s.registry, s.registry.NewShard()
	s.clusters.Fail = func(h *upstream.Host) {
		i := health.Owner(h.Cluster.Name, len(s.workers))
		s.workers[i].Post(func(*loop.Worker) { s.probers[i].Fail(h) })
	}
	names := pool.NewNames(s.resolver(), s.ownAddresses, s.registry)
	for _, w := range s.workers {
		shard := s.registry.NewShard()
		s.shards = append(s.shards, shard)
		s.pools = append(s.pools, pool.New(w, shard, s.registry, s.clusters, s.dialer))
		s.pools[len(s.pools)-1].Names = names
		s.probers = append(s.probers, health.New(health.Options{
			Loop: w, Workers: len(s.workers), Set: s.clusters, Stats: s.registry, Shard: shard, Dialer: s.dialer, Secrets: s.secrets, Log: s.opts.Log,
			Checked: func() { go s.live.Wake() },
		}))
		s.sessions = append(s.sessions, &tcp.Sessions{})
	}
	own := report.Workload{}
	if w := s.opts.Workload; w != nil {
		own = report.Own(w.Name, w.Namespace, w.ClusterID, w.Labels)
	}
	s.reporter = report.New(own, s.registry, s.shards)
	s.tap = report.NewTap(&report.Requests{Reporter: s.reporter})
	s.traces = &tracers{s: s, exporters: map[string]*trace.Exporter{}}
	s.requests = newRequests(s)
	s.buildOverload()
	if s.opts.Workload != nil {
		if s.requests.peers, err = report.NewPeers(s.reporter, s.node.GetId()); err != nil {
			return err
		}
	}
	s.listeners = accept.NewSet(accept.SetOptions{Workers: s.workers, Secrets: s.secrets, Gate: gate, Kept: s.opts.Kept, Counters: &accept.Counters{Registry: s.registry, Shards: s.shards}}, accept.Hooks{Admit: s.admit, Allow: s.allow, Serve: s.serve, Refused: s.refused})
	s.datagrams = pool.NewDatagrams(s.pools, pool.DatagramOptions{Registry: s.registry, Mark: s.opts.Mark, Table: s.opts.Datagrams, Log: report.Datagrams})
	return nil
}

func (s *Server) buildIdentity() (err error) {
	w := s.opts.Workload
	if w == nil || s.opts.CA.Address == "" {
		return nil
	}
	ca := s.opts.CA
	if s.opts.Mark != 0 && !strings.HasPrefix(ca.Address, "unix:") {
		ca.Dial = func(ctx context.Context, address string) (net.Conn, error) { return s.dialMarked(ctx, "tcp", address) }
	}
	ca.Own = func() *secret.SVID { return s.rotation.Current() }
	authority, err := secret.NewClient(ca)
	if err != nil {
		return err
	}
	id, err := w.ID()
	if err != nil {
		return err
	}
	s.rotation = &secret.Rotation{CA: authority, ID: id.String(), TTL: s.opts.SVIDTTL, Log: s.opts.Log}
	return nil
}

// Run serves until the first context ends, then drains. The second, now, ends it at once.
func (s *Server) Run(signalled, now context.Context) error {
	var ctx context.Context
	ctx, s.stop = context.WithCancel(signalled)
	defer s.stop()
	defer s.close()
	if err := s.open(); err != nil {
		return err
	}
	for _, w := range s.workers {
		s.running.Go(func() {
			if err := w.Run(); err != nil {
				s.opts.Log.Error("worker ended", "worker", w.Index(), "error", err)
			}
		})
	}
	if err := s.start(ctx); err != nil {
		return err
	}
	s.opts.Log.Info("proxy started", "node", s.node.GetId(), "concurrency", s.opts.Concurrency, "version", s.opts.Version, "epoch", s.opts.Kept.Epoch())
	select {
	case <-ctx.Done():
	case <-s.quit:
	case <-s.opts.Kept.Gone():
		s.opts.Log.Error("ending", "error", handover.ErrGone)
	case <-s.opts.Kept.Retired():
		err := s.handOver(signalled, now)
		s.traces.flush()
		return err
	}
	err := s.drain(now)
	s.traces.flush()
	return err
}

// start begins what talks to others. Static configuration comes first: what of it cannot be in force is an error.
func (s *Server) start(ctx context.Context) error {
	if s.rotation != nil {
		s.rotation.Subscribe(func(id *secret.SVID) {
			s.secrets.SetIdentity(id)
			go s.live.Wake()
		})
		s.running.Go(func() { _ = s.rotation.Run(ctx) }) // it ends with ctx only
	}
	if s.bootstrap != nil {
		if err := s.live.Static(s.bootstrap); err != nil {
			return err
		}
		s.bootstrap.Message, s.bootstrap.Listeners, s.bootstrap.Clusters = nil, nil, nil // many times as large as what is kept of them
	} else if name := s.localCluster(); name != "" {
		b, err := s.decoder().Alike(name)
		if err != nil {
			return err
		}
		if err := s.live.Static(b); err != nil {
			return err
		}
	}
	s.follow()
	if s.xds != nil {
		s.running.Go(func() { _ = s.xds.Run(ctx) }) // it ends with ctx only
	}
	if s.xds != nil && s.opts.Probe != nil {
		s.running.Go(func() { s.opts.Probe(ctx, s.probeable, s.xds.Health) })
	}
	s.running.Go(func() { s.housekeeping(ctx) })
	if s.overload != nil {
		s.running.Go(func() { s.overload.Run(ctx) })
	}
	s.running.Go(func() { s.tellReady(ctx) })
	return nil
}

// probeable says why asking the workload would be of no use yet.
func (s *Server) probeable(context.Context) error {
	if !s.live.Ready() {
		return errors.New("it has no configuration yet")
	}
	return nil
}

// housekeeping does for upstreams what comes with time, when it is due and at least once a second, because configuration may change.
func (s *Server) housekeeping(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-timer.C:
			timer.Reset(min(time.Second, max(s.clusters.Sweep(now), time.Millisecond)))
		}
	}
}

func (s *Server) close() {
	s.stop()
	s.live.Close()
	s.datagrams.Close()
	if s.dns != nil {
		s.dns.Close()
	}
	for _, w := range s.workers {
		w.Stop()
	}
	for _, h := range s.servers {
		_ = h.Close() // pages are of no use any more
	}
	for _, l := range s.sockets {
		_ = l.Close() // closed by their servers as a rule
	}
	done := make(chan struct{})
	go func() {
		s.running.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(time.Second):
	}
	s.logs.Close()
	s.opts.Kept.Close()
}

var errQuitNow = errors.New("ended at once, connections were cut")
