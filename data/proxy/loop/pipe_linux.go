package loop

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// kernelPipe is a Pipe of the kernel.
type kernelPipe struct{ r, w int }

func newPipe() (Pipe, error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		return nil, fmt.Errorf("open pipe: %w", err)
	}
	p := &kernelPipe{fds[0], fds[1]}
	if _, err := unix.FcntlInt(uintptr(p.w), unix.F_SETPIPE_SZ, PipeSize); err != nil {
		return nil, errors.Join(fmt.Errorf("enlarge pipe: %w", err), p.Close()) // a user with many pipes gets small ones, which cost more than copying
	}
	return p, nil
}

// Fill implements Pipe.
func (p *kernelPipe) Fill(from Socket) (int, error) { return splice(from.(FD).FD(), p.w, PipeSize) }

// Drain implements Pipe.
func (p *kernelPipe) Drain(to Socket, n int) (int, error) { return splice(p.r, to.(FD).FD(), n) }

func splice(from, to, n int) (int, error) {
	for {
		got, _, errno := unix.RawSyscall6(unix.SYS_SPLICE, uintptr(from), 0, uintptr(to), 0, uintptr(n), unix.SPLICE_F_MOVE|unix.SPLICE_F_NONBLOCK)
		switch errno {
		case 0:
			return int(got), nil
		case unix.EINTR:
		case unix.EAGAIN:
			return 0, ErrAgain
		default:
			return 0, errno
		}
	}
}

// Close implements Pipe.
func (p *kernelPipe) Close() error { return errors.Join(unix.Close(p.r), unix.Close(p.w)) }
