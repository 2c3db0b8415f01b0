package register

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/config"
)

// Registration is one connection of a proxy that has an entry.
type Registration struct {
	registrar *Registrar
	ref       api.Ref
	auto      bool
	since     time.Time
	probes    chan probe // the newest one only
	done      chan struct{}
	once      sync.Once
}

// probe is what a proxy found out about its workload.
type probe struct {
	healthy bool
	message string
	at      time.Time
}

// Probed takes what the proxy found out. It does not block; calls come from one goroutine.
func (g *Registration) Probed(healthy bool, message string) {
	select {
	case <-g.probes: // nobody needs to hear of the one before
	default:
	}
	g.probes <- probe{healthy, message, time.Now()}
}

// Release says that the connection has ended; it may be called more than once, and does not block.
func (g *Registration) Release() { g.once.Do(func() { close(g.done) }) }

const (
	retry    = time.Second // after an error of the API
	askingIt = 10 * time.Second
)

// live writes what happens to the entry, one thing after the other.
func (g *Registration) live() {
	r := g.registrar
	sign := time.NewTicker(r.opts.Refresh)
	defer sign.Stop()
	var pending *probe
	var due <-chan time.Time
	for {
		select {
		case <-r.live.Done():
			return
		case <-g.done:
			g.left()
			return
		case <-sign.C:
			if err := r.try(func(ctx context.Context) error { return r.refresh(ctx, g.ref, g.since) }); err != nil {
				r.log.Warn("a registered workload's sign of life is not written", "entry", g.ref.String(), "error", err)
			}
		case p := <-g.probes:
			pending, due = &p, time.After(0)
		case <-due:
			due = nil
			if err := r.try(func(ctx context.Context) error { return r.tellHealth(ctx, g.ref, pending) }); err != nil {
				r.opts.Metrics.failed()
				r.log.Warn("a workload's health is not written; trying again", "entry", g.ref.String(), "error", err)
				due = time.After(retry)
			}
		}
	}
}

// left is what follows when a connection has ended: the entry says so, and is cleaned up when the proxy does not come back.
func (g *Registration) left() {
	r, at := g.registrar, time.Now()
	if r.leave(g.ref) > 0 {
		return // the proxy has another connection to this control plane
	}
	marked := false
	if !r.insist("mark", g.ref, func(ctx context.Context) (err error) { marked, err = r.disconnected(ctx, g.ref, at); return err }) || !marked {
		return
	}
	if g.auto {
		r.opts.Metrics.unregistered()
	}
	if r.sleep(r.opts.Grace) {
		r.insist("clean up", g.ref, func(ctx context.Context) error { return r.clean(ctx, g.ref) })
	}
}

// insist does something to an entry until it is done; false when the Registrar ends before.
func (r *Registrar) insist(what string, ref api.Ref, do func(context.Context) error) bool {
	for {
		err := r.try(do)
		if err == nil {
			return r.live.Err() == nil
		}
		r.opts.Metrics.failed()
		r.log.Warn("the entry of a workload that left cannot be changed; trying again", "entry", ref.String(), "what", what, "error", err)
		if !r.sleep(retry) {
			return false
		}
	}
}

// join counts a connection.
func (r *Registrar) join(ref api.Ref) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.streams[ref]++
}

// leave counts a connection off and gives how many are left.
func (r *Registrar) leave(ref api.Ref) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.streams[ref]--
	n := r.streams[ref]
	if n <= 0 {
		delete(r.streams, ref)
	}
	return n
}

// sleep waits; false when the Registrar ends.
func (r *Registrar) sleep(d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-r.live.Done():
		return false
	}
}

// try does something to an entry, again where another writer was quicker. An entry that is gone needs nothing more.
func (r *Registrar) try(do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(r.live, askingIt)
	defer cancel()
	var err error
	for range mostTries {
		if err = do(ctx); !errors.Is(err, config.ErrStale) {
			break
		}
	}
	if errors.Is(err, config.ErrGone) || r.live.Err() != nil {
		return nil
	}
	return err
}

// refresh gives a sign of life of an entry whose newest connection is this one.
func (r *Registrar) refresh(ctx context.Context, ref api.Ref, since time.Time) error {
	o, err := r.opts.Entries.Read(ctx, ref)
	if err != nil || !r.has(o, since) {
		return err
	}
	return r.opts.Entries.Annotate(ctx, o, map[string]string{markConnected: stamp(time.Now())})
}

// disconnected marks an entry, unless a newer connection has it, here or elsewhere.
func (r *Registrar) disconnected(ctx context.Context, ref api.Ref, at time.Time) (bool, error) {
	o, err := r.opts.Entries.Read(ctx, ref)
	if err != nil || o.Meta.Annotations[markController] != r.opts.Instance {
		return false, err
	}
	r.mu.Lock()
	again := r.streams[ref] > 0
	r.mu.Unlock()
	if again {
		return false, nil
	}
	return true, r.opts.Entries.Annotate(ctx, o, map[string]string{markConnected: "", markDisconnected: stamp(at)})
}

// has says whether an entry is that of a connection to this control plane which began then.
func (r *Registrar) has(o api.Object, since time.Time) bool {
	last, ok := moment(o, markConnected)
	return o.Meta.Annotations[markController] == r.opts.Instance && ok && !last.Before(since)
}
