package program

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// life is one run of the program under test.
type life struct {
	pid     int
	ended   chan string
	ready   chan struct{}
	retired chan struct{}
}

// world starts lives.
type world struct {
	mu      sync.Mutex
	lives   []*life
	signals []syscall.Signal
	born    chan *life
}

func (w *world) start(context.Context) (Process, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	l := &life{pid: len(w.lives) + 1, ended: make(chan string, 1), ready: make(chan struct{}), retired: make(chan struct{})}
	w.lives = append(w.lives, l)
	w.born <- l
	return Process{PID: l.pid, Ended: l.ended, Ready: l.ready, Retire: func() { close(l.retired) }, Signal: func(s syscall.Signal) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.signals = append(w.signals, s)
		l.ended <- "signal"
	}}, nil
}

// begin runs a program; end ends it and gives the signals that were sent.
func begin(t *testing.T) (p *Program, w *world, end func() []syscall.Signal) {
	w = &world{born: make(chan *life, 10)}
	p = &Program{Name: "p", Log: slog.New(slog.DiscardHandler), Grace: time.Minute, Patience: time.Minute, Start: w.start}
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	if err := p.Begin(ctx, &all); err != nil {
		t.Fatal(err)
	}
	return p, w, func() []syscall.Signal {
		cancel()
		all.Wait()
		<-p.Done()
		return w.signals
	}
}

// TestAProgramIsStartedAgain: one that dies by itself comes back, and ends with the context.
func TestAProgramIsStartedAgain(t *testing.T) {
	p, w, end := begin(t)
	(<-w.born).ended <- "crash"
	<-w.born
	for pid, restarts, last := p.State(); pid != 2; pid, restarts, last = p.State() {
		if restarts > 1 || last != "" && last != "crash" {
			t.Fatalf("pid %d, %d restarts, %s", pid, restarts, last)
		}
		time.Sleep(time.Millisecond)
	}
	if signals := end(); !slices.Equal(signals, []syscall.Signal{syscall.SIGTERM}) {
		t.Errorf("signals %v, want SIGTERM", signals)
	}
}

func TestAProgramIsReplaced(t *testing.T) {
	p, w, end := begin(t)
	first := <-w.born
	answer := make(chan error)
	replace := func() *life {
		go func() { answer <- p.Replace(t.Context()) }()
		return <-w.born
	}
	second := replace()
	select {
	case <-first.retired:
		t.Fatal("the first was let go of before the second was ready")
	case err := <-answer:
		t.Fatal(err)
	default:
	}
	close(second.ready)
	if err := <-answer; err != nil {
		t.Fatal(err)
	}
	<-first.retired
	if pid, restarts, _ := p.State(); pid != 2 || restarts != 0 {
		t.Errorf("pid %d, %d restarts", pid, restarts)
	}
	broken := replace()
	broken.ended <- "exit status 1"
	if err := <-answer; err == nil || !strings.Contains(err.Error(), "ended before it was ready (exit status 1); the one before goes on") {
		t.Error(err)
	}
	if pid, _, _ := p.State(); pid != 2 {
		t.Errorf("pid %d", pid)
	}
	select {
	case <-second.retired:
		t.Error("the second was let go of for one that is broken")
	default:
	}
	fourth := replace()
	second.ended <- "killed" // before the other is ready
	if err := <-answer; err == nil || !strings.Contains(err.Error(), "takes over") {
		t.Error(err)
	}
	if pid, _, _ := p.State(); pid != fourth.pid {
		t.Errorf("pid %d", pid)
	}
	// The first still finishes what it has begun: both that live are ended with the program.
	if signals := end(); !slices.Equal(signals, []syscall.Signal{syscall.SIGTERM, syscall.SIGTERM}) {
		t.Errorf("signals %v, want SIGTERM twice", signals)
	}
	if err := p.Replace(t.Context()); err == nil || err.Error() != "p has ended" {
		t.Error(err)
	}
}
