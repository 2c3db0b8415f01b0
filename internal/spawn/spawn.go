// Package spawn starts processes from one thread that lives as long as the program.
//
// A parent-death signal fires when the forking thread ends, not the process; Go moves goroutines between threads and ends idle ones,
// so processes that must die with their parent are started from a thread that never ends. A Thread may be used by several goroutines.
package spawn

import (
	"os/exec"
	"runtime"
)

// Thread runs functions one after the other in one locked thread.
type Thread struct{ work chan func() }

// NewThread starts the thread; it lives until the program ends.
func NewThread() *Thread {
	t := &Thread{work: make(chan func())}
	go func() {
		runtime.LockOSThread()
		for f := range t.work {
			f()
		}
	}()
	return t
}

// Do runs f in the thread and returns its error.
func (t *Thread) Do(f func() error) error {
	done := make(chan error, 1)
	t.work <- func() { done <- f() }
	return <-done
}

// Start is cmd.Start in the thread.
func (t *Thread) Start(cmd *exec.Cmd) error { return t.Do(cmd.Start) }
