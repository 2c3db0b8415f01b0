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

// waited is a worker whose cluster has one host, which accepts what comes, and the limit of so many connections.
type waited struct {
	sim      *sim.Sim
	worker   *Worker
	web      *upstream.Cluster
	accepted []loop.Conn
}

func newWaited(t *testing.T, connections uint32) *waited {
	t.Helper()
	at := netip.MustParseAddrPort("10.0.0.1:80")
	r := &waited{sim: sim.New(1)}
	r.sim.Listen(loop.TCP(at), func(c loop.Conn) { r.accepted = append(r.accepted, c); c.SetHandler(&sim.Recorder{}) })
	set := upstream.NewSet(nil, slog.New(slog.DiscardHandler))
	limits := config.Thresholds{Connections: connections, Pending: 9, Requests: 9}
	if err := set.Update(map[string]*config.Cluster{"web": {
		Name: "web", ConnectTimeout: time.Second, Thresholds: [2]config.Thresholds{limits, limits},
		Endpoints: &config.Assignment{Localities: []config.Locality{{Endpoints: []*config.Endpoint{{Address: at, Weight: 1}}}}},
	}}); err != nil {
		t.Fatal(err)
	}
	registry := stats.New()
	r.worker, r.web = New(r.sim.Worker(), registry.NewShard(), registry, set, &dial.Dialer{}), set.Cluster("web")
	return r
}

// TestWhoWaitsForAConnectionThatClosesGetsAnother, where the breaker allows one only: nobody else would open it.
func TestWhoWaitsForAConnectionThatClosesGetsAnother(t *testing.T) {
	r := newWaited(t, 1)
	var tickets [3]Ticket
	var waiters [3]waits
	r.sim.At(0, func() {
		for i := range 2 {
			r.worker.Acquire(r.web.Hosts()[0], Want{}, &tickets[i], &waiters[i])
		}
	})
	r.sim.Run(time.Second)
	if len(r.accepted) != 1 || waiters[0].ready != 1 || waiters[1].ready != 0 {
		t.Fatalf("%d connections, %+v: the limit is one", len(r.accepted), waiters)
	}
	r.sim.At(0, func() { r.accepted[0].Abort(false) })
	r.sim.Run(time.Second)
	if len(r.accepted) != 2 || waiters[1].ready != 1 || waiters[1].refused != "" {
		t.Fatalf("%d connections, %+v after the only one closed", len(r.accepted), waiters)
	}
	r.sim.At(0, func() { // one that gives up leaves nothing behind
		r.worker.Acquire(r.web.Hosts()[0], Want{}, &tickets[2], &waiters[2])
		tickets[2].Leave()
		r.accepted[1].Abort(false)
	})
	r.sim.Run(time.Second)
	if len(r.accepted) != 2 || len(r.worker.local(r.web).pools) != 0 {
		t.Errorf("%d connections, %d pools are left", len(r.accepted), len(r.worker.local(r.web).pools))
	}
}

// TestWithLittleMemoryNothingIsKeptForLater: connections on their way that nobody waits for are given up, and those that have answered are closed.
func TestWithLittleMemoryNothingIsKeptForLater(t *testing.T) {
	r := newWaited(t, 9)
	tickets, waiters := make([]Ticket, 5), make([]waits, 5)
	r.sim.At(0, func() {
		for i := range tickets {
			r.worker.Acquire(r.web.Hosts()[0], Want{}, &tickets[i], &waiters[i])
		}
		for i := range tickets[:3] {
			tickets[i].Leave()
		}
		r.worker.CloseIdle()
	})
	r.sim.Run(time.Second)
	if len(r.accepted) != 2 || waiters[3].ready+waiters[4].ready != 2 || waiters[0].ready != 0 {
		t.Fatalf("%d connections, %+v: three of five do not wait any more", len(r.accepted), waiters)
	}
	short := true
	r.worker.Short = func() bool { return short }
	var late Ticket
	r.sim.At(0, func() {
		r.worker.Acquire(r.web.Hosts()[0], Want{}, &late, &waits{})
		late.Leave()
	})
	r.sim.Run(time.Second)
	l := r.worker.local(r.web)
	for p := range l.all() {
		if p.open != 2 || len(p.idle) != 0 {
			t.Errorf("%d connections open, %d at rest; the one that nobody waited for is kept", p.open, len(p.idle))
		}
	}
	short = false
	r.sim.At(0, func() {
		r.worker.Acquire(r.web.Hosts()[0], Want{}, &late, &waits{})
		late.Leave()
	})
	r.sim.Run(time.Second)
	for p := range l.all() {
		if p.open != 3 || len(p.idle) != 1 {
			t.Errorf("%d connections open, %d at rest; with enough memory one is kept", p.open, len(p.idle))
		}
	}
}
