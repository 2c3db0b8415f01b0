package http2

import (
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
)

// KeepAlive asks the peer of a connection for signs of life (connection_keepalive), with PINGs, as Envoy does. It belongs to the worker of its connection.
//
//	resting (the next PING is timed) → asking (its answer is awaited) → resting; asking → late
//
// A nil KeepAlive never asks.
type KeepAlive struct {
	conn   *Conn
	config *config.KeepAlive
	worker *loop.Worker
	alarm  loop.Alarm
	asking bool
	heard  loop.Time // of the peer's last byte
	late   func()
}

// StartKeepAlive begins to watch a connection; it is nil where k is. late is called when an answer does not come in time; the KeepAlive has ended then.
func StartKeepAlive(w *loop.Worker, conn *Conn, k *config.KeepAlive, late func()) *KeepAlive {
	if k == nil {
		return nil
	}
	a := &KeepAlive{conn: conn, config: k, worker: w, heard: w.Now(), late: late}
	a.alarm.Init(w, a.due)
	a.rest()
	return a
}

// rest times the next PING.
func (a *KeepAlive) rest() {
	d := a.config.Interval
	if d <= 0 {
		a.alarm.Stop()
		return
	}
	if part := uint64(a.config.Jitter / 100 * float64(d)); part > 0 {
		d += time.Duration(a.worker.Rand() % part)
	}
	a.alarm.Set(d)
}

func (a *KeepAlive) due() {
	if a.asking {
		a.Stop()
		a.late()
		return
	}
	a.ask()
}

func (a *KeepAlive) ask() {
	a.asking = true
	a.conn.Ping()
	a.alarm.Set(a.config.Timeout)
}

// Heard notes bytes of the peer, when the connection has read them.
func (a *KeepAlive) Heard() {
	if a == nil || a.config == nil {
		return
	}
	a.heard = a.worker.Now()
	if a.asking && a.conn.Unanswered() == 0 {
		a.asking = false
		a.rest()
	}
}

// Opening is called before a stream is opened: a connection that has rested for long is asked first, so that a dead one is found soon.
func (a *KeepAlive) Opening() {
	if a != nil && a.config != nil && a.config.Idle > 0 && !a.asking && a.worker.Now().Sub(a.heard) > a.config.Idle {
		a.ask()
	}
}

// Stop ends it.
func (a *KeepAlive) Stop() {
	if a != nil {
		a.alarm.Stop()
		a.config = nil
	}
}
