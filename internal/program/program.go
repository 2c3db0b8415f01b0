// Package program keeps a process running: it is started again when it ends by itself, and can be replaced by a newer one without a gap.
//
// In: a function that starts the process. Out: its state. A Program's methods may be called from any goroutine, Begin once.
package program

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"syscall"
	"time"
)

// Process is one run of a program.
type Process struct {
	PID    int           // 0: not known here
	Ended  <-chan string // tells once how it ended
	Signal func(syscall.Signal)
	// Ready is closed when it can stand in for the one before; nil for a program that cannot be replaced while it runs.
	Ready <-chan struct{}
	// Retire tells it that another stands in for it: it is to finish what it has begun, and end by itself. Needed with Ready.
	Retire func()
}

// Program is a process that is started again when it ends by itself.
type Program struct {
	Name  string
	Start func(ctx context.Context) (Process, error)
	Log   *slog.Logger
	// Down and Up are told when it dies and when it runs again; either may be nil.
	Down, Up func()
	// Over says whether an end, in the words of Process.Ended, is meant and not to be followed by another start; nil: never.
	Over     func(how string) bool
	Grace    time.Duration // between SIGTERM and SIGKILL
	Patience time.Duration // the longest that one which is to replace another may take until it is ready

	replace chan chan error
	done    chan struct{} // closed when it has ended for good; nil before Begin
	retired sync.WaitGroup

	mu       sync.Mutex
	pid      int
	restarts int
	last     string
}

// The pause before a restart doubles while the process keeps dying young.
const (
	firstRestart = 20 * time.Millisecond
	lastRestart  = 5 * time.Second
	oldEnough    = 10 * time.Second
)

// Begin starts the program for the first time: its error is the caller's. Afterwards it is kept running until the context ends.
func (p *Program) Begin(ctx context.Context, all *sync.WaitGroup) error {
	now, err := p.Start(ctx)
	if err != nil {
		return err
	}
	p.set(now.PID, 0, "")
	p.done, p.replace = make(chan struct{}), make(chan chan error)
	all.Go(func() {
		defer close(p.done)
		p.keep(ctx, now)
		p.retired.Wait()
	})
	return nil
}

// Done is closed when the program has ended for good; nil before Begin.
func (p *Program) Done() <-chan struct{} { return p.done }

func (p *Program) keep(ctx context.Context, now Process) {
	pause, since := firstRestart, time.Now()
	for {
		select {
		case <-ctx.Done():
			p.finish(now)
			return
		case answer := <-p.replace:
			next, err := p.swap(ctx, now)
			if now = next; err == nil {
				since = time.Now()
			}
			answer <- err
			continue
		case how := <-now.Ended:
			if ctx.Err() != nil || p.Over != nil && p.Over(how) {
				return
			}
			if time.Since(since) > oldEnough {
				pause = firstRestart
			}
			p.Log.Warn("a process ended and is started again", "process", p.Name, "how", how, "in", pause)
			p.set(0, 1, how)
			if p.Down != nil {
				p.Down()
			}
		}
		var ok bool
		if now, pause, ok = p.again(ctx, pause); !ok {
			return
		}
		since = time.Now()
		if p.Up != nil {
			p.Up()
		}
	}
}

// again starts the program until that works or the context ends.
func (p *Program) again(ctx context.Context, pause time.Duration) (Process, time.Duration, bool) {
	for {
		select {
		case <-ctx.Done():
			return Process{}, pause, false
		case answer := <-p.replace:
			answer <- fmt.Errorf("%s is being started again just now", p.Name)
			continue
		case <-time.After(pause):
		}
		pause = min(2*pause, lastRestart)
		next, err := p.Start(ctx)
		if err == nil {
			p.set(next.PID, 0, "")
			return next, pause, true
		}
		p.Log.Error("a process cannot be started", "process", p.Name, "error", err)
	}
}

// finish asks a process to end, and insists after the grace time.
func (p *Program) finish(x Process) {
	x.Signal(syscall.SIGTERM)
	select {
	case <-x.Ended:
	case <-time.After(p.Grace):
		p.Log.Warn("a process did not end in time and is killed", "process", p.Name)
		x.Signal(syscall.SIGKILL)
		<-x.Ended
	}
}

func (p *Program) set(pid, restarts int, how string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pid, p.restarts = pid, p.restarts+restarts
	if how != "" {
		p.last = how
	}
}

// State is the process that runs (0: none, or not known), how often it was started again because it had died, and how it ended the last time.
func (p *Program) State() (pid, restarts int, last string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pid, p.restarts, p.last
}
