package accesslog

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	ringBytes     = 1 << 20 // per worker and file
	flushInterval = 200 * time.Millisecond
)

// ring is one worker's waiting lines.
type ring struct {
	mu  sync.Mutex // held for a copy only, contended only while the writer swaps
	buf []byte
	_   [64]byte
}

// Sink is one file.
type Sink struct {
	rings   []ring
	wake    chan struct{}
	dropped atomic.Uint64
	out     io.Writer
}

func newSink(workers int, out io.Writer) *Sink {
	return &Sink{rings: make([]ring, workers), wake: make(chan struct{}, 1), out: out}
}

// append hands a finished line over.
func (s *Sink) append(worker int, f *Format, r *Record) {
	g := &s.rings[worker%len(s.rings)]
	g.mu.Lock()
	before := len(g.buf)
	if before > ringBytes {
		g.mu.Unlock()
		s.dropped.Add(1)
		return
	}
	if g.buf == nil {
		g.buf = make([]byte, 0, 16<<10)
	}
	g.buf = f.Append(g.buf, r)
	urgent := before < ringBytes/2 && len(g.buf) >= ringBytes/2
	g.mu.Unlock()
	if urgent {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

// flush writes what waits; spare is swapped in for what is taken.
func (s *Sink) flush(spare []byte) ([]byte, error) {
	for i := range s.rings {
		g := &s.rings[i]
		g.mu.Lock()
		if len(g.buf) == 0 {
			g.mu.Unlock()
			continue
		}
		taken := g.buf
		g.buf = spare[:0]
		g.mu.Unlock()
		if _, err := s.out.Write(taken); err != nil {
			return taken, err
		}
		spare = taken
	}
	return spare, nil
}

// Files opens each path once. It is safe for concurrent use.
type Files struct {
	Workers int
	Log     *slog.Logger

	mu    sync.Mutex
	sinks map[string]*Sink
	stop  chan struct{}
	wg    sync.WaitGroup
}

// Open gives the sink of a path; it is created if it does not exist and appended to. A path is kept open until Close.
func (f *Files) Open(path string) (*Sink, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s, ok := f.sinks[path]; ok {
		return s, nil
	}
	out, err := openFile(path)
	if err != nil {
		return nil, fmt.Errorf("open access log %s: %w", path, err)
	}
	if f.sinks == nil {
		f.sinks, f.stop = map[string]*Sink{}, make(chan struct{})
	}
	s := newSink(max(f.Workers, 1), out)
	f.sinks[path] = s
	stop := f.stop
	f.wg.Go(func() { f.run(path, s, out, stop) })
	return s, nil
}

func openFile(path string) (*os.File, error) {
	switch path {
	case "/dev/stdout":
		return os.Stdout, nil // opening it by name fails when it is a socket
	case "/dev/stderr":
		return os.Stderr, nil
	}
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
}

func (f *Files) run(path string, s *Sink, out *os.File, stop <-chan struct{}) {
	tick := time.NewTicker(flushInterval)
	defer tick.Stop()
	failing := false
	spare := make([]byte, 0, 16<<10)
	for last := false; !last; {
		select {
		case <-tick.C:
		case <-s.wake:
		case <-stop:
			last = true
		}
		var err error
		if spare, err = s.flush(spare); err != nil && !failing {
			f.Log.Error("access log not written", "path", path, "error", err)
		}
		failing = err != nil
		if cap(spare) > ringBytes {
			spare = make([]byte, 0, 16<<10)
		}
	}
	if out != os.Stdout && out != os.Stderr {
		out.Close()
	}
}

// Dropped counts lines that found no room, over all files.
func (f *Files) Dropped() (n uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.sinks {
		n += s.dropped.Load()
	}
	return n
}

// Close writes what waits and closes the files.
func (f *Files) Close() {
	f.mu.Lock()
	if f.stop != nil {
		close(f.stop)
		f.stop = nil
	}
	f.mu.Unlock()
	f.wg.Wait()
}

// Log is one configured access log: where, how, and for which exchanges.
type Log struct {
	Sink   *Sink
	Format *Format
	Keep   func(*Record) bool // nil keeps all
}

// Write logs one exchange from a worker.
func (l *Log) Write(worker int, r *Record) {
	if l.Keep == nil || l.Keep(r) {
		l.Sink.append(worker, l.Format, r)
	}
}
