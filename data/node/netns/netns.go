// Package netns makes anonymous network namespaces and wires them to a bridge.
//
// In: addresses. Out: namespaces that live as long as somebody holds their descriptor or runs in them, so that nothing is left behind
// when the holder dies. A Namespace may be used from any goroutine; Do locks its goroutine to a thread for the time of the call.
package netns

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// Namespace is a network namespace that has no name in the file system.
type Namespace struct{ file *os.File }

// New makes an empty namespace with its loopback interface up. It needs CAP_SYS_ADMIN in the user namespace of the caller.
func New() (*Namespace, error) {
	var ns *Namespace
	err := inThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("make a network namespace: %w", err)
		}
		var err error
		if ns, err = current(); err != nil {
			return err
		}
		return loopbackUp()
	})
	if err != nil {
		return nil, err
	}
	return ns, nil
}

// Open gives the namespace of a path such as /var/run/netns/NAME.
func Open(path string) (*Namespace, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open the network namespace: %w", err)
	}
	return &Namespace{file: f}, nil
}

// Current is the namespace of the calling thread.
func Current() (*Namespace, error) { return current() }

func current() (*Namespace, error) {
	f, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, fmt.Errorf("open the network namespace: %w", err)
	}
	return &Namespace{file: f}, nil
}

// inThread runs fn in a thread of its own, which ends afterwards: whatever fn did to the thread's namespaces goes with it.
func inThread(fn func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if unix.Gettid() == unix.Getpid() {
			// The first thread of a process never ends, and would keep what fn does to it. It is held here while another one is used.
			defer runtime.UnlockOSThread()
			done <- inThread(fn)
			return
		}
		done <- fn()
	}()
	return <-done
}

// Do runs fn in a thread inside the namespace. Sockets that fn makes stay in the namespace; goroutines that fn starts do not.
func (n *Namespace) Do(fn func() error) error {
	return inThread(func() error {
		if err := n.Enter(); err != nil {
			return err
		}
		return fn()
	})
}

// Enter moves the calling thread into the namespace; the caller has locked it.
func (n *Namespace) Enter() error {
	if err := unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter the network namespace: %w", err)
	}
	return nil
}

// Own says whether this process lives in the namespace.
func (n *Namespace) Own() (bool, error) {
	own, err := os.Stat("/proc/self/ns/net")
	if err != nil {
		return false, fmt.Errorf("look at the network namespace: %w", err)
	}
	other, err := n.file.Stat()
	if err != nil {
		return false, fmt.Errorf("look at the network namespace: %w", err)
	}
	return os.SameFile(own, other), nil
}

// FD is the descriptor of the namespace, owned by n.
func (n *Namespace) FD() int { return int(n.file.Fd()) }

// Close lets go of the namespace; the kernel removes it when nobody runs in it.
func (n *Namespace) Close() error { return n.file.Close() }
