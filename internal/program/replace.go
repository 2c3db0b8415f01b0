package program

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"
)

// Replace starts the program once more, and lets go of the process that runs when the new one is ready. When that fails the old one goes on as if nothing had been.
func (p *Program) Replace(ctx context.Context) error {
	answer := make(chan error, 1)
	select {
	case p.replace <- answer:
		return <-answer
	case <-p.done:
		return fmt.Errorf("%s has ended", p.Name)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// swap gives the process to go on with.
func (p *Program) swap(ctx context.Context, old Process) (Process, error) {
	if old.Ready == nil {
		return old, fmt.Errorf("%s cannot be replaced while it runs", p.Name)
	}
	next, err := p.Start(ctx)
	if err != nil {
		return old, fmt.Errorf("the new process was not started: %w; the one before goes on", err)
	}
	patience := time.NewTimer(p.Patience)
	defer patience.Stop()
	select {
	case <-next.Ready:
	case how := <-next.Ended:
		return old, fmt.Errorf("the new process ended before it was ready (%s); the one before goes on, and the log tells more", how)
	case <-patience.C:
		next.Signal(syscall.SIGKILL)
		<-next.Ended
		return old, fmt.Errorf("the new process was not ready after %s; the one before goes on, and the log tells more", p.Patience)
	case how := <-old.Ended: // the new one is needed as it is
		p.set(next.PID, 1, how)
		return next, fmt.Errorf("the process before ended meanwhile (%s); the new one takes over as soon as it is ready", how)
	case <-ctx.Done():
		next.Signal(syscall.SIGKILL)
		<-next.Ended
		return old, errors.New("everything is ending")
	}
	p.set(next.PID, 0, "")
	old.Retire()
	p.retired.Go(func() {
		select {
		case <-old.Ended:
		case <-ctx.Done():
			p.finish(old)
		}
	})
	return next, nil
}
