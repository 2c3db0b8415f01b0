package sim

import (
	"errors"
	"io"

	"github.com/heddle-mesh/heddle/data/proxy/loop"
)

// pipe is a loop.Pipe.
type pipe struct {
	s      *Sim
	held   []byte
	closed bool
}

func (s *Sim) pipe() (loop.Pipe, error) { return &pipe{s: s}, nil }

// Fill implements loop.Pipe. For some sockets it sees nothing, or even an end, where there are bytes, as for those in a sockmap.
func (p *pipe) Fill(from loop.Socket) (int, error) {
	if p.closed || len(p.held) > 0 {
		panic("a pipe that is closed or not empty was filled")
	}
	if e := from.(*end); e.unseen && !e.reset {
		if e.missed {
			panic("a pipe was tried again where it had missed bytes")
		}
		e.asked = true
		return 0, []error{nil, loop.ErrAgain}[p.s.rng.IntN(2)]
	}
	b := make([]byte, loop.PipeSize)
	n, err := from.Read(b)
	p.held = b[:n]
	if errors.Is(err, io.EOF) {
		return 0, nil
	}
	return n, err
}

// Drain implements loop.Pipe.
func (p *pipe) Drain(to loop.Socket, n int) (int, error) {
	if p.closed || n > len(p.held) {
		panic("a pipe that is closed or holds less was drained")
	}
	n, err := to.Write([][]byte{p.held[:n]})
	p.held = p.held[n:]
	p.s.Spliced += n
	return n, err
}

// Close implements loop.Pipe.
func (p *pipe) Close() error { p.closed = true; return nil }
