package server

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/admin"
	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/secret"
	"github.com/heddle-mesh/heddle/data/proxy/upstream"
	"github.com/heddle-mesh/heddle/telemetry"

	"github.com/heddle-mesh/heddle/data/proxy/stats"
)

func (s *Server) buildAdmin() {
	o := admin.Options{
		Version: s.opts.Version, Concurrency: uint32(s.opts.Concurrency), Node: s.node, Bootstrap: s.packed, Live: s.live, Stats: s.registry, Level: s.opts.Level, Tap: s.tap.ServeHTTP, Recent: s.tap.Recent, Supervised: s.opts.Kept != nil, Epoch: s.opts.Kept.Epoch(),
		Ready: s.live.Ready, Waiting: s.live.Waiting, Draining: s.draining.Load, Succeeded: s.succeeded.Load, Sockets: s.openSockets, Host: s.host,
		Drain: s.drainListeners, Quit: s.leave,
	}
	if s.rotation != nil {
		o.Identity = func() *secret.SVID { return s.rotation.Current() }
	}
	o.Certificates = s.secrets.Held
	s.admin = admin.New(o)
	build := s.registry.Gauge(stats.Desc{Name: telemetry.Build.Name, Help: telemetry.Build.Help, Labels: []stats.Label{{Name: "component", Value: "proxy"}, {Name: "tag", Value: s.opts.Version}}})
	s.shards[0].Inc(build)
}

// leave ends the proxy as SIGTERM would.
func (s *Server) leave() { s.quitOnce.Do(func() { close(s.quit) }) }

func (s *Server) openSockets() (out []admin.Socket) {
	for _, x := range s.listeners.Open() {
		out = append(out, admin.Socket{Name: x.Name, Address: x.Address})
	}
	for _, x := range s.datagrams.Open() {
		out = append(out, admin.Socket{Name: x.Name, Address: x.Address})
	}
	return out
}

// host finds the state of an endpoint.
func (s *Server) host(c *config.Cluster, e *config.Endpoint) (out admin.Host) {
	cluster := s.clusters.Cluster(c.Name)
	if cluster == nil {
		return out
	}
	for _, h := range cluster.Hosts() {
		if h.Config() == e {
			out.Ejected, out.RequestsActive = h.Ejected(), uint64(max(h.Active(), 0))
			f := h.Checked()
			out.FailedActive, out.ActiveTimeout, out.DegradedActive = f&upstream.CheckFailed != 0, f&upstream.CheckTimeout != 0, f&upstream.CheckDegraded != 0
			out.PendingActive, out.Excluded = c.IgnoreNewHosts && f&upstream.CheckPending != 0, f&upstream.CheckExcluded != 0
		}
	}
	return out
}

// drainListeners closes listeners; graceful waits, so that connections that are on their way still find them.
func (s *Server) drainListeners(inboundOnly, graceful, skipExit bool) {
	var only func(*config.Listener) bool
	if inboundOnly {
		only = func(l *config.Listener) bool { return l.Direction == config.Inbound }
	}
	s.draining.Store(true)
	s.requests.drain(0)
	if skipExit {
		return
	}
	wait := time.Duration(0)
	if graceful {
		wait = s.opts.Drain / 2
	}
	time.AfterFunc(wait, func() { s.listeners.Drain(only, nil) })
}

// open binds the proxy's own ports: a busy one is an error that names it.
func (s *Server) open() error {
	if s.opts.Admin != "" {
		if err := s.page("admin", s.opts.Admin, s.admin); err != nil {
			return err
		}
	}
	if s.opts.AdminSocket != "" {
		if err := s.page("admin", absolute(s.opts.AdminSocket), s.admin); err != nil {
			return err
		}
	}
	pages := s.admin.StatusHandler()
	if s.opts.Around != nil {
		pages = s.opts.Around(s.leave, pages)
	}
	for _, address := range s.opts.Status {
		if err := s.page("status", address, pages); err != nil {
			return err
		}
	}
	return s.openNames()
}

// openNames binds the name server. A machine without one of the address families does without it.
func (s *Server) openNames() error {
	bound := 0
	for _, address := range s.opts.DNS {
		err := s.openName(address)
		switch {
		case err == nil:
			bound++
		case errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT):
			s.opts.Log.Warn("names are not answered on an address that this machine has not", "address", address, "error", err)
		default:
			return fmt.Errorf("%w; another proxy may be running here (--dns-address chooses another address)", err)
		}
	}
	if bound == 0 && len(s.opts.DNS) > 0 {
		return fmt.Errorf("none of the addresses for names (--dns-address) is one of this machine")
	}
	return nil
}

func (s *Server) openName(address string) error {
	l, err := s.listen("tcp", address)
	if err != nil {
		return fmt.Errorf("listen for DNS on %s: %w", address, err)
	}
	pc, err := s.listenPacket(l.Addr().String())
	if err != nil {
		l.Close()
		return fmt.Errorf("listen for DNS on %s: %w", address, err)
	}
	s.dns.Serve(l, pc)
	return nil
}

// page serves a handler at HOST:PORT or at the path of a unix socket.
func (s *Server) page(what, address string, h http.Handler) error {
	network := "tcp"
	if address[0] == '/' {
		network = "unix"
	}
	l, err := s.listen(network, address)
	if err != nil {
		return fmt.Errorf("open the %s port %s: %w", what, address, err)
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
	s.sockets, s.servers = append(s.sockets, l), append(s.servers, server)
	s.running.Go(func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			s.opts.Log.Error("pages ended", "address", address, "error", err)
		}
	})
	return nil
}
