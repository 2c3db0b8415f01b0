package server

import (
	"context"
	"time"
)

// tellReady tells the supervisor when this process serves all that it was configured with.
func (s *Server) tellReady(ctx context.Context) {
	if s.opts.Kept == nil {
		return
	}
	for !s.live.Ready() {
		select {
		case <-ctx.Done():
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
	if err := s.opts.Kept.Ready(); err != nil {
		s.opts.Log.Error("the supervisor was not told that this process serves", "error", err)
	}
}

// handOver ends while another process serves in the place of this one, with the same sockets. Nothing is refused and nothing that has begun is cut before the time is up:
// responses ask clients to come again, which leads them to the other process. After SIGTERM the time is that of an end without a successor.
func (s *Server) handOver(signalled, now context.Context) error {
	s.stop()
	s.succeeded.Store(true)
	s.draining.Store(true)
	s.opts.Log.Info("another process serves; finishing what has begun", "epoch", s.opts.Kept.Epoch(), "longest", s.opts.Parent)
	closed := make(chan struct{})
	s.listeners.Leave(func() { close(closed) })
	if s.dns != nil {
		s.dns.Leave()
	}
	s.leavePages()
	<-closed
	// A connection at rest may be about to carry a request, so it is closed only when none has come for the whole drain time.
	s.requests.drain(s.opts.Drain)
	idle := time.AfterFunc(s.opts.Drain, s.requests.closeIdle)
	defer idle.Stop()
	hurry, cancel := context.WithCancel(now)
	defer cancel()
	defer context.AfterFunc(signalled, func() {
		s.requests.closeIdle()
		time.AfterFunc(s.opts.Drain, cancel)
	})()
	return s.untilDone(hurry, time.Now().Add(s.opts.Parent))
}

// leavePages stops serving pages; answers that have begun go on for a moment.
func (s *Server) leavePages() {
	for _, h := range s.servers {
		s.running.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			_ = h.Shutdown(ctx) // what is left is cut at the end
		})
	}
}
