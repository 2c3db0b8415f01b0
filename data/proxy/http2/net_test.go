package http2

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
)

// drivers are Conns on net.Conns that share a lock, as those of a worker share its goroutine. It is the shortest way to other implementations; the proxy has its loop.
type drivers struct {
	mu   sync.Mutex
	all  []*driver
	slab Slab
}

// driver runs a Conn with one goroutine that reads and one that writes.
type driver struct {
	group  *drivers
	ready  sync.Cond // there is something to write, or nothing will be
	nc     net.Conn
	conn   Conn
	out    []byte
	busy   int // bytes that are being written
	high   bool
	asked  bool
	gone   bool
	serve  func(s *Stream, h *codec.Head, end bool) codec.Receiver
	closes func(s *Stream)
}

// drive begins a connection; closed is closed when its reader has ended. serve takes the requests of a server, closes hears of every stream's end.
func (g *drivers) drive(nc net.Conn, role Role, l Limits, serve func(s *Stream, h *codec.Head, end bool) codec.Receiver, closes func(s *Stream)) (d *driver, closed chan struct{}) {
	d = &driver{group: g, nc: nc, serve: serve, closes: closes}
	d.ready.L = &g.mu
	g.mu.Lock()
	d.conn.Init(role, l, d, d, &g.slab)
	g.all = append(g.all, d)
	g.mu.Unlock()
	closed = make(chan struct{})
	go d.write()
	go func() {
		d.read()
		close(closed)
	}()
	return d, closed
}

// do calls fn as the worker does, and ends the turn.
func (g *drivers) do(fn func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	fn()
	for again := true; again; {
		again = false
		for _, d := range g.all {
			if d.asked {
				d.asked, again = false, true
				d.conn.Attend()
			}
		}
	}
	for _, d := range g.all {
		d.ready.Signal()
	}
}

func (d *driver) read() {
	var kept []byte
	buf := make([]byte, 32<<10)
	for {
		n, err := d.nc.Read(buf)
		d.group.do(func() {
			if n > 0 {
				kept = append(kept, buf[:n]...)
				used, broken := d.conn.Feed(kept)
				kept = append([]byte(nil), kept[used:]...)
				if broken != nil || d.conn.Drained() {
					d.gone = true
				}
			}
			if err != nil {
				d.conn.Close(codec.ConnectionTermination, err.Error())
				d.gone = true
			}
		})
		if err != nil {
			return
		}
	}
}

func (d *driver) write() {
	defer func() { _ = d.nc.Close() }()
	for {
		d.group.mu.Lock()
		for len(d.out) == 0 && !d.gone {
			d.ready.Wait()
		}
		b := d.out
		d.out, d.busy = nil, len(b)
		last := d.gone
		d.group.mu.Unlock()
		if _, err := d.nc.Write(b); err != nil || last && len(b) == 0 {
			return
		}
		d.group.do(func() {
			d.busy = 0
			if d.high && d.Buffered() <= 64<<10 {
				d.high = false
				d.conn.Writable()
			}
		})
	}
}

// Write implements Output.
func (d *driver) Write(p []byte) {
	d.out = append(d.out, p...)
	d.high = d.high || d.Buffered() > 64<<10
}

// Buffered implements Output.
func (d *driver) Buffered() int { return len(d.out) + d.busy }

// Attend implements Owner.
func (d *driver) Attend() { d.asked = true }

// Request implements Owner.
func (d *driver) Request(s *Stream, h *codec.Head, end bool) codec.Receiver {
	return d.serve(s, h, end)
}

// Malformed implements Owner.
func (d *driver) Malformed(s *Stream, _ *codec.Head, err *Error) {
	s.Head(statusHead(err.Status), true)
}

// Closed implements Owner.
func (d *driver) Closed(s *Stream) { d.closes(s) }

// echo answers with what it is sent: the path, the body, the trailers.
type echo struct {
	s      *Stream
	paused bool
}

func newEcho(s *Stream, h *codec.Head, end bool) codec.Receiver {
	r := statusHead(200)
	r.Add(codec.MakeName("x-path"), h.Path())
	r.Add(codec.MakeName("x-host"), h.Authority())
	if v, ok := h.Value(cookieName); ok {
		r.Add(codec.MakeName("x-cookie"), v)
	}
	if h.Length >= 0 {
		r.SetInt(codec.ContentLength, h.Length)
	}
	s.Informational(statusHead(103))
	s.Head(r, false)
	if end {
		s.Body([]byte("hello"), true)
	}
	return &echo{s: s}
}

func (e *echo) Head(*codec.Head, bool)     {}
func (e *echo) Informational(*codec.Head)  {}
func (e *echo) Trailers(t *codec.Fields)   { e.s.Trailers(t) }
func (e *echo) Abort(codec.Reason, string) {}
func (e *echo) Body(p []byte, end bool) {
	e.s.Body(p, end)
	if !end && e.s.Full() {
		e.paused = true
		e.s.Pause()
	}
}
func (e *echo) Writable() {
	if e.paused {
		e.paused = false
		e.s.Resume()
	}
}

func ignored(*Stream) {}

// listen serves a Conn in the server's role on every connection of a listener.
func listen(t testing.TB, l Limits, owner func(s *Stream, h *codec.Head, end bool) codec.Receiver) (address string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			(&drivers{}).drive(nc, Server, l, owner, ignored)
		}
	}()
	return ln.Addr().String()
}

var serve = flag.String("serve", "", "address at which TestServe answers requests until it is killed")

// TestServe is a server for conformance tests of others (test/conformance/h2spec.sh).
func TestServe(t *testing.T) {
	if *serve == "" {
		t.Skip("-serve is not set")
	}
	ln, err := net.Listen("tcp", *serve)
	if err != nil {
		t.Fatal(err)
	}
	for {
		nc, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		(&drivers{}).drive(nc, Server, Defaults(), newEcho, ignored)
	}
}

func smallWindows() Limits {
	l := Edge()
	l.StreamWindow, l.ConnWindow = 65535, 100000
	return l
}

// TestServerAgainstTransport is our server with the client of golang.org/x/net.
func TestServerAgainstTransport(t *testing.T) {
	address := listen(t, smallWindows(), newEcho)
	tr := &http2.Transport{AllowHTTP: true, DialTLSContext: func(ctx context.Context, network, addr string, _ *tls.Config) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, addr)
	}}
	defer tr.CloseIdleConnections()
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			for j := range 5 {
				if err := exchange(tr, address, i*5+j); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// exchange posts a body whose length depends on i, with trailers, and compares what comes back.
func exchange(tr *http2.Transport, address string, i int) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	want := make([]byte, (i%10)*40000+i)
	r := rand.New(rand.NewPCG(uint64(i), 0))
	for k := range want {
		want[k] = byte(r.Uint32())
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, fmt.Sprintf("http://%s/x/%d?q", address, i), io.NopCloser(bytes.NewReader(want)))
	if err != nil {
		return err
	}
	req.Header["Cookie"] = []string{"a=b; c=d"}
	req.Trailer = http.Header{"X-Sum": nil}
	req.ContentLength = -1
	req.Trailer.Set("X-Sum", fmt.Sprint(i))
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return err
	}
	got, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil || !bytes.Equal(got, want) || resp.StatusCode != 200 {
		return fmt.Errorf("exchange %d: %d bytes, want %d, status %d, %w", i, len(got), len(want), resp.StatusCode, err)
	}
	if resp.Header.Get("X-Path") != fmt.Sprintf("/x/%d?q", i) || resp.Header.Get("X-Cookie") != "a=b; c=d" || resp.Header.Get("X-Host") != address || resp.Trailer.Get("X-Sum") != fmt.Sprint(i) {
		return fmt.Errorf("exchange %d: head %v, trailers %v", i, resp.Header, resp.Trailer)
	}
	return nil
}

// TestTransportCancels leaves no stream behind when the client gives up.
func TestTransportCancels(t *testing.T) {
	aborted := make(chan codec.Reason, 1)
	address := listen(t, Edge(), func(s *Stream, _ *codec.Head, _ bool) codec.Receiver {
		s.Head(statusHead(200), false)
		return &watcher{aborted: aborted}
	})
	tr := &http2.Transport{AllowHTTP: true, DialTLSContext: func(ctx context.Context, network, addr string, _ *tls.Config) (net.Conn, error) {
		return net.Dial(network, addr)
	}}
	defer tr.CloseIdleConnections()
	ctx, cancel := context.WithCancel(context.Background())
	req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/", nil)
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := io.ReadAll(resp.Body); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	_ = resp.Body.Close()
	if r := <-aborted; r != codec.RemoteReset {
		t.Error(r)
	}
}

type watcher struct {
	echo
	aborted chan codec.Reason
}

func (w *watcher) Abort(r codec.Reason, _ string) { w.aborted <- r }

// caller is one request of our client to another server.
type caller struct {
	d        *driver
	s        *Stream
	left     []byte
	trailers bool
	status   int
	early    int
	body     bytes.Buffer
	sum      string // sent as a trailer, and expected back
	trailer  string
	path     string
	failure  error
	done     chan struct{}
}

func (c *caller) Head(h *codec.Head, end bool) {
	c.status = h.Status
	v, _ := h.Get("x-path")
	c.path = string(v)
	if end {
		c.end(nil)
	}
}
func (c *caller) Informational(h *codec.Head) { c.early = h.Status }
func (c *caller) Body(p []byte, end bool) {
	c.body.Write(p)
	if end {
		c.end(nil)
	}
}
func (c *caller) Trailers(t *codec.Fields) {
	v, _ := t.Value(codec.MakeName("x-sum"))
	c.trailer = string(v)
	c.end(nil)
}
func (c *caller) Abort(r codec.Reason, detail string) { c.end(fmt.Errorf("%s: %s", r, detail)) }
func (c *caller) end(err error) {
	c.failure = err
	close(c.done)
}

// Writable goes on with the body.
func (c *caller) Writable() {
	for len(c.left) > 0 && !c.s.Full() {
		n := min(len(c.left), 10000)
		p := c.left[:n]
		c.left = c.left[n:]
		c.s.Body(p, false)
	}
	if len(c.left) == 0 && c.trailers {
		c.trailers = false
		var f codec.Fields
		f.AddString(codec.MakeName("x-sum"), c.sum)
		c.s.Trailers(&f)
	}
}

// TestClientAgainstServer is our client with the server of golang.org/x/net.
func TestClientAgainstServer(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Path", r.URL.Path)
		w.Header().Set("Trailer", "X-Sum")
		w.WriteHeader(http.StatusEarlyHints)
		_, _ = io.Copy(w, r.Body)
		w.Header().Set("X-Sum", r.Trailer.Get("X-Sum"))
	})
	go func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			go (&http2.Server{MaxConcurrentStreams: 20}).ServeConn(nc, &http2.ServeConnOpts{Handler: handler})
		}
	}()
	nc, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	d, closed := (&drivers{}).drive(nc, Client, smallWindows(), nil, ignored)
	var wg sync.WaitGroup
	for i := range 15 {
		wg.Go(func() {
			for j := range 5 {
				call(t, d, i*5+j)
			}
		})
	}
	wg.Wait()
	d.group.do(func() {
		if d.conn.Active() != 0 || d.group.slab.InUse() != 0 {
			t.Errorf("%d streams, %d bytes are left over", d.conn.Active(), d.group.slab.InUse())
		}
		d.conn.Shutdown()
		d.gone = true
	})
	<-closed
}

func call(t *testing.T, d *driver, i int) {
	want := bytes.Repeat([]byte{byte(i), 1, 2}, (i%7)*30000)
	c := &caller{d: d, left: want, sum: fmt.Sprint(i), trailers: true, done: make(chan struct{})}
	path := fmt.Sprintf("/call/%d", i)
	d.group.do(func() {
		c.s = d.conn.Open(c)
		if c.s == nil {
			t.Error("no room")
			close(c.done)
			return
		}
		h := &codec.Head{}
		h.Reset()
		h.SetMethod([]byte("POST"))
		h.SetPath([]byte(path))
		h.SetAuthorityString("a.example")
		h.AddString(codec.Trailer, "x-sum")
		h.AddString(codec.UserAgent, strings.Repeat("u", i%3*9000))
		c.s.Head(h, false)
		c.Writable()
	})
	select {
	case <-c.done:
	case <-time.After(time.Minute):
		t.Errorf("call %d is stuck", i)
		return
	}
	d.group.do(func() {
		if c.failure != nil || c.status != 200 || c.early != 103 || c.path != path || !bytes.Equal(c.body.Bytes(), want) || c.trailer != c.sum {
			t.Errorf("call %d: %v, status %d, %d, path %q, %d bytes of %d, trailer %q", i, c.failure, c.status, c.early, c.path, c.body.Len(), len(want), c.trailer)
		}
	})
}
