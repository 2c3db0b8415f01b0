package edge

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/heddle-mesh/heddle/test/pair"
)

// TestBufferLimits: what a slow reader leaves with the proxy is bounded by per_connection_buffer_limit_bytes, of the cluster for requests and of the listener for responses, and nothing is lost. The
// sockets are unix ones, whose own buffers do not grow.
func TestBufferLimits(t *testing.T) {
	const size = 24 << 20
	for _, c := range []struct {
		name           string
		limit          int
		least, highest int64 // bytes that are on the way when everything stands
	}{
		{"small", 16 << 10, 0, 1200 << 10},
		{"large", 8 << 20, 8 << 20, 20 << 20},
	} {
		for _, plane := range pair.Planes {
			t.Run(c.name+"/response/"+plane, func(t *testing.T) {
				var sent atomic.Int64
				p := unixPair(t, plane, c.limit, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { pour(w, size, &sent) }))
				conn := dialUnix(t, p)
				_, err := io.WriteString(conn, "GET / HTTP/1.0\r\nHost: a\r\n\r\n")
				must(t, err)
				stands(t, &sent, c.least, c.highest)
				_, body, _ := bytes.Cut(rest(t, conn), []byte("\r\n\r\n"))
				whole(t, bytes.NewReader(body), size)
			})
			t.Run(c.name+"/request/"+plane, func(t *testing.T) {
				var sent atomic.Int64
				read, asked := make(chan bool), make(chan bool)
				p := unixPair(t, plane, c.limit, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					close(asked)
					<-read
					whole(t, r.Body, size)
				}))
				conn := dialUnix(t, p)
				_, err := fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: %d\r\n\r\n", size)
				must(t, err)
				go pour(conn, size, &sent)
				<-asked
				stands(t, &sent, c.least, c.highest)
				close(read)
				if answer := string(rest(t, conn)); !strings.HasPrefix(answer, "HTTP/1.1 200") {
					t.Error(answer)
				}
			})
		}
	}
}

// unixPair is a proxy between two unix sockets.
func unixPair(t *testing.T, plane string, limit int, app http.Handler) *pair.Proxy {
	t.Helper()
	l, err := net.Listen("unix", "@"+strings.ReplaceAll(t.Name(), "/", "-"))
	must(t, err)
	s := &http.Server{Handler: app}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close() })
	bytes := fmt.Sprintf("per_connection_buffer_limit_bytes: %d", limit)
	text := file{manager: "http_protocol_options: {accept_http_10: true}", listener: "    " + bytes, cluster: bytes}.text()
	text = strings.Replace(text, "{socket_address: {address: 127.0.0.1, port_value: ${listen:front}}}", "{pipe: {path: '${dir}/front'}}", 1)
	text = strings.Replace(text, "{socket_address: {address: 127.0.0.1, port_value: ${app}}}", "{pipe: {path: '"+l.Addr().String()+"'}}", 1)
	return pair.Start(t, plane, text, nil)
}

func dialUnix(t *testing.T, p *pair.Proxy) net.Conn {
	t.Helper()
	c, err := net.Dial("unix", p.Dir()+"/front")
	must(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// pour writes bytes that tell where they belong.
func pour(w io.Writer, size int, sent *atomic.Int64) {
	piece := make([]byte, 16<<10)
	for at := 0; at < size; at += len(piece) {
		for i := range piece {
			piece[i] = mark(at + i)
		}
		n, err := w.Write(piece)
		if sent.Add(int64(n)); err != nil {
			return
		}
	}
}

func mark(at int) byte { return byte(at ^ at>>8 ^ at>>16) }

// whole says whether a body is what pour wrote.
func whole(t *testing.T, r io.Reader, size int) {
	b, err := io.ReadAll(r)
	if err != nil || len(b) != size {
		t.Errorf("%d bytes of %d came: %v", len(b), size, err)
		return
	}
	for at, c := range b {
		if c != mark(at) {
			t.Errorf("byte %d is another", at)
			return
		}
	}
}

func rest(t *testing.T, c net.Conn) []byte {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(time.Minute))
	b, err := io.ReadAll(c)
	must(t, err)
	return b
}

// stands waits until a counter has its least value and does not move any more, and says whether it is too high then.
func stands(t *testing.T, n *atomic.Int64, least, highest int64) {
	t.Helper()
	last, still := int64(-1), 0
	for end := time.Now().Add(30 * time.Second); still < 20 || last < least; time.Sleep(25 * time.Millisecond) {
		if now := n.Load(); now == last {
			still++
		} else {
			last, still = now, 0
		}
		if time.Now().After(end) {
			t.Fatalf("%d bytes are on the way, want at least %d", last, least)
		}
	}
	if last > highest {
		t.Errorf("%d bytes are on the way, want at most %d", last, highest)
	}
	t.Logf("%d KiB are on the way", last>>10)
}

// TestBodiesThatAreKept: a request is retried only if its body fits into what its connection, its virtual host or its route allows.
func TestBodiesThatAreKept(t *testing.T) {
	const route = "{match: {prefix: /}, route: {cluster: app, retry_policy: {retry_on: 5xx, num_retries: 1}}%s}"
	for _, c := range []struct {
		name, listener, host, route string
		tries                       int64
	}{
		{"default", "", "", "", 2},
		{"connection", "per_connection_buffer_limit_bytes: 4096", "", "", 1},
		{"the route allows more", "per_connection_buffer_limit_bytes: 4096", "", ", request_body_buffer_limit: 65536", 2},
		{"the route allows more, in old words", "per_connection_buffer_limit_bytes: 4096", "", ", per_request_buffer_limit_bytes: 65536", 2},
		{"the route allows less", "", "", ", per_request_buffer_limit_bytes: 4096", 1},
		{"the route allows less, in new words", "", "", ", request_body_buffer_limit: 4096", 1},
		{"the route allows nothing", "", "", ", per_request_buffer_limit_bytes: 0", 1},
		{"of both fields one counts", "", "", ", per_request_buffer_limit_bytes: 4096, request_body_buffer_limit: 65536", 2},
		{"the virtual host allows less", "", ", request_body_buffer_limit: 4096", "", 1},
		{"the route goes first", "", ", request_body_buffer_limit: 4096", ", request_body_buffer_limit: 65536", 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			var tries atomic.Int64
			app := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				b, _ := io.ReadAll(r.Body) // the proxy may end the request
				if len(b) == 32<<10 {
					tries.Add(1)
				}
				w.WriteHeader(503)
			})
			listener := ""
			if c.listener != "" {
				listener = "    " + c.listener
			}
			both(t, file{listener: listener, routes: "[" + fmt.Sprintf(route, c.route) + "]" + c.host}, app, func(t *testing.T, p *pair.Proxy) {
				tries.Store(0)
				answer := say(t, p, "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 32768\r\n\r\n"+strings.Repeat("a", 32<<10))
				if got := tries.Load(); got != c.tries || !strings.HasPrefix(answer, "HTTP/1.1 503") {
					t.Errorf("%d tries, want %d: %.100q", got, c.tries, answer)
				}
			})
		})
	}
}
