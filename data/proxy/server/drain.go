package server

import (
	"context"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/loop"
)

// quiet is how long no connection must have come before listeners are closed; others need that long to hear that this proxy is leaving.
const quiet = 500 * time.Millisecond

// drain ends without losing a request: others hear that the proxy leaves (its xDS stream has ended) while it still accepts; responses ask clients to close; then the
// listeners close, and what is left may finish until the time is up.
func (s *Server) drain(now context.Context) error {
	s.stop() // the control plane sees the stream end and takes the workload out of service
	s.draining.Store(true)
	s.requests.drain(0)
	s.opts.Log.Info("draining", "longest", s.opts.Accept+s.opts.Drain)
	select {
	case <-now.Done():
		return errQuitNow
	case <-time.After(s.opts.Accept):
	}
	end := time.Now().Add(s.opts.Drain)
	if !s.untilQuiet(now, time.Now().Add(s.opts.Drain/2)) {
		return errQuitNow
	}
	closed := make(chan struct{})
	s.listeners.Drain(nil, func() { close(closed) })
	select {
	case <-closed:
	case <-now.Done():
		return errQuitNow
	case <-time.After(time.Second):
	}
	s.requests.closeIdle()
	return s.untilDone(now, end)
}

// untilDone waits until no connection is left, or until the time is up. Those to upstreams go when no request uses them.
func (s *Server) untilDone(now context.Context, end time.Time) error {
	for time.Now().Before(end) {
		for i, w := range s.workers {
			w.Post(func(*loop.Worker) { s.pools[i].CloseIdle() })
		}
		if s.connections() == 0 {
			s.opts.Log.Info("drained")
			return nil
		}
		select {
		case <-now.Done():
			return errQuitNow
		case <-time.After(20 * time.Millisecond):
		}
	}
	s.opts.Log.Warn("connections cut at the end of the drain time", "connections", s.connections())
	return nil
}

// untilQuiet waits until no connection has come for a while, or until the time is up. It is false when everything must end at once.
func (s *Server) untilQuiet(now context.Context, end time.Time) bool {
	last, since := s.accepted.Load(), time.Now()
	for time.Now().Before(end) && time.Since(since) < quiet {
		select {
		case <-now.Done():
			return false
		case <-time.After(20 * time.Millisecond):
		}
		if n := s.accepted.Load(); n != last {
			last, since = n, time.Now()
		}
	}
	return true
}

// connections is the number of open connections, those for names included.
func (s *Server) connections() (n int) {
	if s.dns != nil {
		n = s.dns.Busy()
	}
	for _, w := range s.workers {
		n += w.Load()
	}
	return n
}
