package pool

import (
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/dial"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
	"github.com/heddle-mesh/heddle/data/proxy/loop/sim"
	"github.com/heddle-mesh/heddle/data/proxy/stats"
	"github.com/heddle-mesh/heddle/data/proxy/upstream"
)

// waits takes what it is given.
type waits struct {
	ready   int
	refused string
}

// Ready implements Waiter.
func (w *waits) Ready(s Stream) { w.ready++ }

// Refused implements Waiter.
func (w *waits) Refused(_ codec.Reason, detail string) { w.refused = detail }

// TestWhoWaitsForAConnectionThatClosesGetsAnother, where the breaker allows one only: nobody else would open it.
func TestWhoWaitsForAConnectionThatClosesGetsAnother(t *testing.T) {
	at := netip.MustParseAddrPort("10.0.0.1:80")
	s := sim.New(1)
	var accepted []loop.Conn
	s.Listen(loop.TCP(at), func(c loop.Conn) { accepted = append(accepted, c); c.SetHandler(&sim.Recorder{}) })
	set := upstream.NewSet(nil, slog.New(slog.DiscardHandler))
	limits := config.Thresholds{Connections: 1, Pending: 9, Requests: 9}
	if err := set.Update(map[string]*config.Cluster{"web": {
		Name: "web", ConnectTimeout: time.Second, Thresholds: [2]config.Thresholds{limits, limits},
		Endpoints: &config.Assignment{Localities: []config.Locality{{Endpoints: []*config.Endpoint{{Address: at, Weight: 1}}}}},
	}}); err != nil {
		t.Fatal(err)
	}
	registry := stats.New()
	w := New(s.Worker(), registry.NewShard(), registry, set, &dial.Dialer{})
	var tickets [3]Ticket
	var waiters [3]waits
	s.At(0, func() {
		for i := range 2 {
			w.Acquire(set.Cluster("web").Hosts()[0], Want{}, &tickets[i], &waiters[i])
		}
	})
	s.Run(time.Second)
	if len(accepted) != 1 || waiters[0].ready != 1 || waiters[1].ready != 0 {
		t.Fatalf("%d connections, %+v: the limit is one", len(accepted), waiters)
	}
	s.At(0, func() { accepted[0].Abort(false) })
	s.Run(time.Second)
	if len(accepted) != 2 || waiters[1].ready != 1 || waiters[1].refused != "" {
		t.Fatalf("%d connections, %+v after the only one closed", len(accepted), waiters)
	}
	s.At(0, func() { // one that gives up leaves nothing behind
		w.Acquire(set.Cluster("web").Hosts()[0], Want{}, &tickets[2], &waiters[2])
		tickets[2].Leave()
		accepted[1].Abort(false)
	})
	s.Run(time.Second)
	if len(accepted) != 2 || len(w.local(set.Cluster("web")).pools) != 0 {
		t.Errorf("%d connections, %d pools are left", len(accepted), len(w.local(set.Cluster("web")).pools))
	}
}

// TestWithLittleMemoryNothingIsKeptForLater: connections on their way that nobody waits for are given up, and those that have answered are closed.
func TestWithLittleMemoryNothingIsKeptForLater(t *testing.T) {
	at := netip.MustParseAddrPort("10.0.0.1:80")
	s := sim.New(1)
	var accepted []loop.Conn
	s.Listen(loop.TCP(at), func(c loop.Conn) { accepted = append(accepted, c); c.SetHandler(&sim.Recorder{}) })
	set := upstream.NewSet(nil, slog.New(slog.DiscardHandler))
	limits := config.Thresholds{Connections: 9, Pending: 9, Requests: 9}
	if err := set.Update(map[string]*config.Cluster{"web": {
		Name: "web", ConnectTimeout: time.Second, Thresholds: [2]config.Thresholds{limits, limits},
		Endpoints: &config.Assignment{Localities: []config.Locality{{Endpoints: []*config.Endpoint{{Address: at, Weight: 1}}}}},
	}}); err != nil {
		t.Fatal(err)
	}
	registry := stats.New()
	w := New(s.Worker(), registry.NewShard(), registry, set, &dial.Dialer{})
	web := set.Cluster("web")
	tickets, waiters := make([]Ticket, 5), make([]waits, 5)
	s.At(0, func() {
		for i := range tickets {
			w.Acquire(web.Hosts()[0], Want{}, &tickets[i], &waiters[i])
		}
		for i := range tickets[:3] {
			tickets[i].Leave()
		}
		w.CloseIdle()
	})
	s.Run(time.Second)
	if len(accepted) != 2 || waiters[3].ready+waiters[4].ready != 2 || waiters[0].ready != 0 {
		t.Fatalf("%d connections, %+v: three of five do not wait any more", len(accepted), waiters)
	}
	short := true
	w.Short = func() bool { return short }
	var late Ticket
	s.At(0, func() {
		w.Acquire(web.Hosts()[0], Want{}, &late, &waits{})
		late.Leave()
	})
	s.Run(time.Second)
	l := w.local(web)
	for p := range l.all() {
		if p.open != 2 || len(p.idle) != 0 {
			t.Errorf("%d connections open, %d at rest; the one that nobody waited for is kept", p.open, len(p.idle))
		}
	}
	short = false
	s.At(0, func() {
		w.Acquire(web.Hosts()[0], Want{}, &late, &waits{})
		late.Leave()
	})
	s.Run(time.Second)
	for p := range l.all() {
		if p.open != 3 || len(p.idle) != 1 {
			t.Errorf("%d connections open, %d at rest; with enough memory one is kept", p.open, len(p.idle))
		}
	}
}
