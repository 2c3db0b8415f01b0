package edge

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/heddle-mesh/heddle/test/pair"
)

// endless answers with more than any buffer holds.
var endless = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		_, _ = io.Copy(io.Discard, r.Body)
	}
	for b := make([]byte, 64<<10); ; {
		if _, err := w.Write(b); err != nil {
			return
		}
	}
})

// TestSlowClients: nobody holds a connection or a stream by being slow with a head, a body or reading.
func TestSlowClients(t *testing.T) {
	heads := file{manager: "request_headers_timeout: 0.3s"}
	whole := file{manager: "request_timeout: 0.3s"}
	idle := file{manager: "stream_idle_timeout: 0.3s"}
	t.Run("head", func(t *testing.T) {
		both(t, heads, hello, func(t *testing.T, p *pair.Proxy) {
			if got := say(t, p, "GET / HTTP/1.1\r\nHost: a\r\nA: "); !strings.HasPrefix(got, "HTTP/1.1 408") || !strings.HasSuffix(got, "request header timeout") {
				t.Errorf("%s: %q", p.Plane, got)
			}
			stat(t, p, "http.front.downstream_rq_header_timeout", 1)
		})
	})
	t.Run("body", func(t *testing.T) {
		both(t, whole, hello, func(t *testing.T, p *pair.Proxy) {
			if got := say(t, p, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc"); !strings.HasPrefix(got, "HTTP/1.1 408") || !strings.HasSuffix(got, "request timeout") {
				t.Errorf("%s: %q", p.Plane, got)
			}
			stat(t, p, "http.front.downstream_rq_timeout", 1)
		})
	})
	t.Run("body without a word", func(t *testing.T) {
		both(t, idle, endless, func(t *testing.T, p *pair.Proxy) {
			if got := say(t, p, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc"); !strings.HasPrefix(got, "HTTP/1.1 408") || !strings.HasSuffix(got, "stream timeout") {
				t.Errorf("%s: %q", p.Plane, got)
			}
			stat(t, p, "http.front.downstream_rq_idle_timeout", 1)
		})
	})
	t.Run("reading", func(t *testing.T) {
		both(t, idle, endless, func(t *testing.T, p *pair.Proxy) {
			c := dial(t, p)
			_, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			must(t, err)
			stat(t, p, "http.front.downstream_rq_idle_timeout", 1)
			stat(t, p, "http.front.downstream_rq_active", 0)
			stat(t, p, "http.front.downstream_cx_active", 0)
		})
	})
	for name, f := range map[string]file{"head of HTTP/2": heads, "head of HTTP/2 without a word": idle} {
		t.Run(name, func(t *testing.T) {
			both(t, f, hello, func(t *testing.T, p *pair.Proxy) {
				c, fr := second(t, p)
				must(t, fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block(":method", "GET"), EndHeaders: false, EndStream: true}))
				if got := outcome(c, fr); got == "nothing" {
					t.Errorf("%s: a head that does not end holds its connection", p.Plane)
				}
			})
		})
	}
	t.Run("reading HTTP/2", func(t *testing.T) {
		both(t, idle, endless, func(t *testing.T, p *pair.Proxy) {
			c, fr := second(t, p)
			must(t, fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block(":method", "GET", ":scheme", "http", ":authority", "a", ":path", "/"), EndHeaders: true, EndStream: true}))
			if got := outcome(c, fr); got != "reset" {
				t.Errorf("%s: %s", p.Plane, got)
			}
			stat(t, p, "http.front.downstream_rq_active", 0)
		})
	})
}

// second begins a connection in HTTP/2.
func second(t *testing.T, p *pair.Proxy) (net.Conn, *http2.Framer) {
	t.Helper()
	c := dial(t, p)
	_, err := io.WriteString(c, http2.ClientPreface)
	must(t, err)
	f := http2.NewFramer(c, c)
	must(t, f.WriteSettings())
	return c, f
}

func block(pairs ...string) []byte {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	for i := 0; i < len(pairs); i += 2 {
		_ = e.WriteField(hpack.HeaderField{Name: pairs[i], Value: pairs[i+1]}) // to memory
	}
	return b.Bytes()
}

// outcome reads without giving windows, and says how stream 1 ended: "reset", "closed" with its connection, or "nothing" in 15 s.
func outcome(c net.Conn, f *http2.Framer) string {
	_ = c.SetReadDeadline(time.Now().Add(15 * time.Second))
	for {
		fr, err := f.ReadFrame()
		var e net.Error
		switch {
		case errors.As(err, &e) && e.Timeout():
			return "nothing"
		case err != nil:
			return "closed"
		}
		switch fr := fr.(type) {
		case *http2.RSTStreamFrame:
			return "reset"
		case *http2.GoAwayFrame:
			return fmt.Sprintf("closed with %s", fr.ErrCode)
		case *http2.DataFrame:
			if fr.StreamEnded() {
				return "ended"
			}
		}
	}
}
