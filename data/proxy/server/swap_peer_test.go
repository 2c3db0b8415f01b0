package server

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/loop"
	"github.com/heddle-mesh/heddle/data/proxy/loop/sim"
	"github.com/heddle-mesh/heddle/data/proxy/tls"
)

// text is n bytes that nobody else sends: those of a name.
func text(name string, n int) []byte {
	h := fnv.New64a()
	h.Write([]byte(name))
	r := rand.NewPCG(h.Sum64(), 1)
	b := make([]byte, (n+7)/8*8)
	for i := 0; i < n; i += 8 {
		v := r.Uint64()
		for j := range 8 {
			b[i+j] = byte(v >> (8 * j))
		}
	}
	return b[:n]
}

// asked is one request as its client sent it.
type asked struct {
	id, kind string
	size     int // of its body
	want     int // of the answer's
	at       loop.Time
	whole    bool // sent to the end
	seen     seen // of the route configuration and the listener when it was sent
}

// customer sends requests over one connection without waiting for answers, reads with pauses, and may leave.
type customer struct {
	*swaps
	sim.Recorder
	c      loop.Conn // nil until TLS is there
	sent   []*asked
	left   bool // by itself
	raw    []byte
	offset int // of raw that a TCP client sent
}

func (s *swaps) customer(listener string) *customer {
	a, b := s.sim.PipeWith(loop.Origin{Local: at(listener), Original: at(listener), Remote: s.from(), Accepted: true})
	c := &customer{swaps: s, c: a}
	if listener == "secure" {
		c.c = nil
		tls.Client(a, s.trusting, tls.Handshake{}, func(secured loop.Conn, err error) {
			if c.c = secured; err != nil {
				c.left = true
				return
			}
			secured.SetHandler(&c.Recorder)
		})
	} else {
		a.SetHandler(&c.Recorder)
	}
	s.front.server.listeners.Take(at(listener), b)
	s.customers = append(s.customers, c)
	return c
}

// step sends one request, whole or in pieces, or does something else that clients do.
func (c *customer) step() {
	if c.c == nil {
		return
	}
	if c.left || c.Closed > 0 || c.EOF {
		c.c.Close()
		return
	}
	switch c.r.IntN(14) {
	case 0:
		c.left = true
		c.c.Abort(c.r.IntN(2) == 0)
		return
	case 1:
		c.c.PauseRead()
		c.after(1500, c.c.ResumeRead)
	case 2:
		c.left = true
		c.c.CloseWrite()
		return
	}
	if len(c.sent) == 0 || c.sent[len(c.sent)-1].whole {
		c.request()
	}
}

// request begins a request; its body may come in pieces, and may never end.
func (c *customer) request() {
	q := &asked{id: strconv.Itoa(c.next()), kind: kinds[c.r.IntN(len(kinds))], want: c.size(), at: c.sim.Now(), seen: c.front.seen()}
	c.sent = append(c.sent, q)
	head := fmt.Sprintf("GET /%s/%s HTTP/1.1\r\nHost: web\r\nX-Want: %d\r\n", q.kind, q.id, q.want)
	if c.r.IntN(3) > 0 {
		c.c.Write([]byte(head + "\r\n"))
		q.whole = true
		return
	}
	q.size = c.size()
	body, chunked := text("q"+q.id, q.size), c.r.IntN(2) == 0
	head = strings.Replace(head, "GET", "POST", 1) + fmt.Sprintf("X-Size: %d\r\n", q.size)
	if chunked {
		head += "Transfer-Encoding: chunked\r\n\r\n"
	} else {
		head += fmt.Sprintf("Content-Length: %d\r\n\r\n", q.size)
	}
	c.c.Write([]byte(head))
	abandon := c.r.IntN(20) == 0
	var more func()
	more = func() {
		if c.left || c.Closed > 0 {
			return
		}
		n := min(len(body), 1+c.r.IntN(40_000))
		switch {
		case n > 0 && chunked:
			fmt.Fprintf(into{c.c}, "%x\r\n%s\r\n", n, body[:n])
		case n > 0:
			c.c.Write(body[:n])
		}
		if body = body[n:]; len(body) > 0 {
			if !abandon {
				c.after(100, more)
			}
			return
		}
		if chunked {
			c.c.Write([]byte("0\r\n\r\n"))
		}
		q.whole = true
	}
	more()
}

type into struct{ c loop.Conn }

func (w into) Write(p []byte) (int, error) { w.c.Write(p); return len(p), nil }

// pump sends a piece of a TCP client's stream.
func (c *customer) pump() {
	if c.left || c.Closed > 0 || c.EOF {
		c.c.Close()
		return
	}
	if c.r.IntN(10) == 0 {
		c.left = true
		c.c.CloseWrite()
		return
	}
	if c.raw == nil {
		c.raw = text("tcp"+strconv.Itoa(c.next()), 1<<20)
	}
	n := min(len(c.raw)-c.offset, 1+c.r.IntN(1<<c.r.IntN(20)))
	c.c.Write(c.raw[c.offset : c.offset+n])
	c.offset += n
}

// judge reads everything that the client got, from the first byte to the last, and says what is wrong with it.
func (c *customer) judge() error {
	if c.raw != nil || len(c.sent) == 0 {
		if !bytes.HasPrefix(c.raw, c.Data) { // servers of TCP send back what they get
			return fmt.Errorf("a TCP client got %d bytes that are not what it sent", len(c.Data))
		}
		return nil
	}
	in := bufio.NewReader(bytes.NewReader(c.Data))
	ended := c.left || c.Closed > 0 || c.EOF
	for i := 0; ; i++ {
		if _, err := in.Peek(1); errors.Is(err, io.EOF) {
			if i < len(c.sent) && !ended && c.sent[i].whole {
				return fmt.Errorf("request %s got no answer on an open connection", c.sent[i].id)
			}
			return nil
		}
		if i >= len(c.sent) {
			return fmt.Errorf("an answer that nobody asked for behind %d others", i)
		}
		q := c.sent[i]
		resp, err := http.ReadResponse(in, &http.Request{Method: http.MethodGet})
		if err != nil {
			if ended {
				return nil // a head that was cut
			}
			return fmt.Errorf("the answer to %s: %w", q.id, err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil && !ended {
			return fmt.Errorf("the answer to %s is cut on an open connection: %w", q.id, err)
		}
		if fault := c.answered(q, resp, body, err == nil); fault != nil {
			return fmt.Errorf("the answer to %s: %w", q.id, fault)
		}
		if err != nil {
			return nil
		}
	}
}

// answered checks one answer.
func (c *customer) answered(q *asked, resp *http.Response, body []byte, whole bool) error {
	switch resp.StatusCode {
	case 200, 404, 408, 413, 500, 502, 503, 504, 507:
	default:
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	if id := resp.Header.Get("X-Id"); id != "" {
		if id != q.id {
			return fmt.Errorf("it belongs to %s", id)
		}
		want := text("a"+q.id, q.want)
		if !bytes.HasPrefix(want, body) || whole && len(body) != len(want) {
			return fmt.Errorf("%d of %d bytes, of which some are wrong", len(body), len(want))
		}
	} else if resp.StatusCode == 200 && q.kind != "direct" {
		return fmt.Errorf("200 from nowhere: %q", body[:min(len(body), 80)])
	}
	route := resp.Header.Get("X-Route")
	if route != resp.Header.Get("X-Table") {
		return fmt.Errorf("route configurations %q and %q in one answer", route, resp.Header.Get("X-Table"))
	}
	if route != "" && q.kind == "direct" && resp.StatusCode == 200 && string(body) != "direct "+route {
		return fmt.Errorf("body %q of route configuration %s", body, route)
	}
	if whole {
		c.told(q, resp)
	}
	return nil
}

// arrival is a request as a server got it.
type arrival struct {
	id, address, route, table, via string
}

// origin is a server of requests, or of bytes.
type origin struct {
	*swaps
	c       loop.Conn
	address string
	buf     []byte
	dead    bool
}

// OnData implements loop.Handler: whole requests are answered in their order, now or later.
func (o *origin) OnData(p []byte) int {
	o.buf = append(o.buf, p...)
	for !o.dead {
		left := bytes.NewReader(o.buf)
		in := bufio.NewReader(left)
		req, err := http.ReadRequest(in)
		if err != nil {
			break
		}
		body, err := io.ReadAll(req.Body)
		if err != nil {
			break
		}
		o.buf = append([]byte(nil), o.buf[len(o.buf)-left.Len()-in.Buffered():]...)
		o.serve(req, body)
	}
	return len(p)
}

func (o *origin) serve(req *http.Request, body []byte) {
	id := req.URL.Path[strings.LastIndexByte(req.URL.Path, '/')+1:]
	if n, err := strconv.Atoi(req.Header.Get("X-Size")); err == nil && !bytes.Equal(body, text("q"+id, n)) {
		o.fail("request %s came to %s with %d bytes, of which some are wrong", id, o.address, len(body))
	}
	if !strings.HasSuffix(req.Host, "-shadow") {
		o.arrived(arrival{id, o.address, req.Header.Get("X-Route"), req.Header.Get("X-Table"), req.Header.Get("Via")})
	}
	want, _ := strconv.Atoi(req.Header.Get("X-Want"))
	switch o.r.IntN(16) {
	case 0:
		o.dead = true
		o.c.Abort(true)
		return
	case 1:
		o.dead = true
		o.c.Close()
		return
	case 2:
		o.c.Write([]byte("HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy"))
		return
	case 3:
		return // never
	case 4: // an answer too many, which answers nothing
		o.c.Write(fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nX-Id: %s\r\nContent-Length: %d\r\n\r\n%sHTTP/1.1 200 OK\r\nX-Id: 0\r\nContent-Length: 0\r\n\r\n", id, want, text("a"+id, want)))
		return
	}
	answer := text("a"+id, want)
	chunked := o.r.IntN(2) == 0
	head := fmt.Sprintf("HTTP/1.1 200 OK\r\nX-Id: %s\r\nContent-Length: %d\r\n\r\n", id, want)
	if chunked {
		head = fmt.Sprintf("HTTP/1.1 200 OK\r\nX-Id: %s\r\nTransfer-Encoding: chunked\r\n\r\n", id)
	}
	cut := o.r.IntN(20) == 0
	var more func()
	more = func() {
		if o.dead {
			return
		}
		if cut && o.r.IntN(3) == 0 {
			o.dead = true
			o.c.Abort(o.r.IntN(2) == 0)
			return
		}
		n := min(len(answer), 1+o.r.IntN(60_000))
		switch {
		case n > 0 && chunked:
			fmt.Fprintf(into{o.c}, "%x\r\n%s\r\n", n, answer[:n])
		case n > 0:
			o.c.Write(answer[:n])
		}
		if answer = answer[n:]; len(answer) > 0 {
			o.after(60, more)
		} else if chunked {
			o.c.Write([]byte("0\r\n\r\n"))
		}
	}
	begin := func() {
		if !o.dead {
			o.c.Write([]byte(head))
			more()
		}
	}
	if o.r.IntN(3) == 0 {
		o.after(1000, begin)
	} else {
		begin()
	}
}

// OnEOF implements loop.Handler.
func (o *origin) OnEOF() { o.dead = true; o.c.Close() }

// OnWritable implements loop.Handler.
func (o *origin) OnWritable() {}

// OnClose implements loop.Handler.
func (o *origin) OnClose(error) { o.dead = true }

// echo sends back what it gets, and may stop.
type echo struct {
	*swaps
	c loop.Conn
}

// OnData implements loop.Handler.
func (e *echo) OnData(p []byte) int {
	if e.r.IntN(200) == 0 {
		e.c.Abort(e.r.IntN(2) == 0)
		return len(p)
	}
	e.c.Write(p)
	return len(p)
}

// OnEOF implements loop.Handler.
func (e *echo) OnEOF() { e.c.CloseWrite() }

// OnWritable implements loop.Handler.
func (e *echo) OnWritable() {}

// OnClose implements loop.Handler.
func (e *echo) OnClose(error) {}

// after runs fn within some milliseconds.
func (s *swaps) after(ms int, fn func()) {
	s.sim.At(time.Duration(s.r.IntN(ms*1000))*time.Microsecond, fn)
}
