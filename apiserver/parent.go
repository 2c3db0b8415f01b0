package main

import (
	"context"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// watchParent calls stop when the parent process is gone. The kernel's signal
// fires when the *thread* that forked us ends, so it is only a hint to look at
// the parent's id; a slow poll covers the case that it never comes. In a PID
// namespace of its own the parent's id is always 0, and the hint is the truth.
func watchParent(ctx context.Context, stop func()) {
	parent := os.Getppid()
	hint := make(chan os.Signal, 1)
	signal.Notify(hint, unix.SIGUSR2)
	go func() {
		// The request belongs to the calling thread, which must stay.
		runtime.LockOSThread()
		_, _, _ = syscall.RawSyscall(unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, uintptr(unix.SIGUSR2), 0)
		poll := time.NewTicker(500 * time.Millisecond)
		defer poll.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-hint:
				if parent == 0 {
					stop()
					return
				}
			case <-poll.C:
			}
			if os.Getppid() != parent {
				stop()
				return
			}
		}
	}()
}
