package loop

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxEvents is the number of events of one wait; what is left comes with the next.
const maxEvents = 256

// FD is a Descriptor of the kernel.
type FD interface {
	Descriptor
	FD() int
}

// epoll is the kernel's Poller. RawSyscall is used only where the call cannot block; a wait that blocks goes through Syscall, or
// it would stall the garbage collector.
type epoll struct {
	fd, wake int
	events   [maxEvents]unix.EpollEvent
	clock    Clock
	spin     time.Duration
}

// newEpoll makes a poller whose Wait polls for up to spin before it sleeps.
func newEpoll(clock Clock, spin time.Duration) (*epoll, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("create epoll: %w", err)
	}
	wake, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("create eventfd: %w", err)
	}
	e := &epoll{fd: fd, wake: wake, clock: clock, spin: spin}
	if err := unix.EpollCtl(fd, unix.EPOLL_CTL_ADD, wake, &unix.EpollEvent{Events: unix.EPOLLIN}); err != nil {
		_ = e.Close()
		return nil, fmt.Errorf("watch eventfd: %w", err)
	}
	return e, nil
}

// Watch implements Poller.
func (e *epoll) Watch(d Descriptor, t Token, want Interest, was bool) error {
	f, ok := d.(FD)
	if !ok {
		return fmt.Errorf("watch %T: not a descriptor of the kernel", d)
	}
	ev := unix.EpollEvent{Fd: int32(uint32(t)), Pad: int32(uint32(t >> 32))}
	if want&Readable != 0 {
		ev.Events |= unix.EPOLLIN
	}
	if want&Writable != 0 {
		ev.Events |= unix.EPOLLOUT
	}
	op := unix.EPOLL_CTL_ADD
	if was {
		op = unix.EPOLL_CTL_MOD
	}
	return ctl(e.fd, op, f.FD(), &ev)
}

// Forget implements Poller.
func (e *epoll) Forget(d Descriptor) {
	if f, ok := d.(FD); ok {
		_ = ctl(e.fd, unix.EPOLL_CTL_DEL, f.FD(), &unix.EpollEvent{}) // a closed descriptor has left the set already
	}
}

func ctl(epfd, op, fd int, ev *unix.EpollEvent) error {
	_, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(epfd), uintptr(op), uintptr(fd), uintptr(unsafe.Pointer(ev)), 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// Wait implements Poller.
func (e *epoll) Wait(until Time, into []Ready) ([]Ready, error) {
	n, errno := e.poll()
	if n == 0 && errno == 0 && until > 0 {
		n, errno = e.sleep(until)
	}
	if errno == unix.EINTR {
		return into, nil
	}
	if errno != 0 {
		return into, errno
	}
	for _, ev := range e.events[:n] {
		t := Token(uint32(ev.Fd)) | Token(uint32(ev.Pad))<<32
		if t == 0 {
			e.drain()
			continue
		}
		into = append(into, Ready{t, kinds(ev.Events)})
	}
	return into, nil
}

func kinds(events uint32) (k Interest) {
	if events&unix.EPOLLIN != 0 {
		k |= Readable
	}
	if events&unix.EPOLLOUT != 0 {
		k |= Writable
	}
	if events&unix.EPOLLHUP != 0 {
		k |= Hangup
	}
	if events&unix.EPOLLERR != 0 {
		k |= Failed
	}
	return k
}

func (e *epoll) poll() (int, unix.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(e.fd), uintptr(unsafe.Pointer(&e.events[0])), maxEvents, 0, 0, 0)
	return int(n), errno
}

// sleep waits in the kernel, after polling for a while when that is asked for.
func (e *epoll) sleep(until Time) (int, unix.Errno) {
	now := e.clock.Now()
	for end := min(until, now.Add(e.spin)); now < end; now = e.clock.Now() {
		if n, errno := e.poll(); n != 0 || errno != 0 {
			return n, errno
		}
	}
	if until <= now {
		return 0, 0
	}
	ms := -1
	if until != Never {
		ms = int(min((until.Sub(now)+time.Millisecond-1)/time.Millisecond, 1<<30))
	}
	n, _, errno := unix.Syscall6(unix.SYS_EPOLL_PWAIT, uintptr(e.fd), uintptr(unsafe.Pointer(&e.events[0])), maxEvents, uintptr(ms), 0, 0)
	return int(n), errno
}

// Wake implements Poller.
func (e *epoll) Wake() {
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	_, _ = unix.Write(e.wake, one[:]) // a full counter is awake already
}

func (e *epoll) drain() {
	var b [8]byte
	_, _, _ = unix.RawSyscall(unix.SYS_READ, uintptr(e.wake), uintptr(unsafe.Pointer(&b)), 8)
}

// Close implements Poller.
func (e *epoll) Close() error {
	_ = unix.Close(e.wake)
	return unix.Close(e.fd)
}

// yield lets offloaded work run when there are fewer processors than goroutines.
func yield() { runtime.Gosched() }
