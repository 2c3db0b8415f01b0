package http1

import (
	"bufio"
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
)

// forwarder parses one request and writes its head as it goes upstream.
type forwarder struct {
	p    Parser
	head codec.Head
	out  []byte
	err  error
	body []byte
	done bool
}

func (f *forwarder) Head(h *Head) {
	if f.err = h.Request(&f.head); f.err != nil {
		f.p.Stop()
		return
	}
	if f.head.Upgrade {
		f.p.Tunnel()
	}
	end := !h.Chunked && h.ContentLength <= 0
	f.out = AppendRequest(nil, &f.head, RequestFraming(&f.head, end))
}

func (f *forwarder) Body(p []byte) int { f.body = append(f.body, p...); return len(p) }
func (f *forwarder) End([]Field)       { f.done = true }

func forward(in string) *forwarder {
	f := &forwarder{}
	f.p.Init(Request, Limits{}, f)
	if _, err := f.p.Feed([]byte(in)); err != nil && f.err == nil {
		f.err = err
	}
	return f
}

func TestForwardedHeads(t *testing.T) {
	tests := map[string]struct{ in, want string }{
		"plain":       {"GET /a?b HTTP/1.1\r\nHost: H\r\nX-Own: V\r\n\r\n", "GET /a?b HTTP/1.1\r\nhost: H\r\nx-own: V\r\n\r\n"},
		"hop by hop":  {"GET / HTTP/1.1\r\nHost: h\r\nConnection: close, X-Priv\r\nX-Priv: 1\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\nTE: gzip, trailers\r\n\r\n", "GET / HTTP/1.1\r\nhost: h\r\nte: trailers\r\n\r\n"},
		"h2c":         {"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n", "GET / HTTP/1.1\r\nhost: h\r\n\r\n"},
		"websocket":   {"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", "GET / HTTP/1.1\r\nhost: h\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n"},
		"absolute":    {"GET http://other:8080?q HTTP/1.1\r\nHost: h\r\n\r\n", "GET /?q HTTP/1.1\r\nhost: other:8080\r\n\r\n"},
		"absolute /":  {"GET https://other HTTP/1.1\r\nHost: h\r\n\r\n", "GET / HTTP/1.1\r\nhost: other\r\n\r\n"},
		"connect":     {"CONNECT far:443 HTTP/1.1\r\nHost: h\r\nConnection: x\r\n\r\n", "CONNECT far:443 HTTP/1.1\r\nhost: far:443\r\n\r\n"},
		"post":        {"POST / HTTP/1.1\r\nHost: h\r\n\r\n", "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 0\r\n\r\n"},
		"length":      {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 3\r\n\r\n"},
		"chunked":     {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n0\r\n\r\n", "POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n"},
		"no method":   {"FROB / HTTP/1.1\r\nHost: h\r\n\r\n", ""},
		"nominated":   {"GET / HTTP/1.1\r\nHost: h\r\nConnection: authorization\r\nAuthorization: x\r\n\r\n", ""},
		"no port":     {"CONNECT far HTTP/1.1\r\nHost: h\r\n\r\n", ""},
		"upgrade+len": {"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 3\r\n\r\nabc", ""},
		"two ports":   {"CONNECT h:,1 HTTP/1.1\r\nHost: h\r\n\r\n", ""},
		"named port":  {"CONNECT h:http HTTP/1.1\r\nHost: h\r\n\r\n", ""},
		"encoded":     {"CONNECT h%41:1 HTTP/1.1\r\nHost: h\r\n\r\n", ""},
		"long port":   {"CONNECT h:000001 HTTP/1.1\r\nHost: h\r\n\r\n", ""},
		"fragment":    {"GET http://h#x/ HTTP/1.1\r\nHost: h\r\n\r\n", ""},
		"userinfo":    {"GET http://u@h/ HTTP/1.1\r\nHost: h\r\n\r\n", ""},
	}
	for name, tt := range tests {
		if f := forward(tt.in); string(f.out) != tt.want || (f.err != nil) != (tt.want == "") {
			t.Errorf("%s: %q, %v; want %q", name, f.out, f.err, tt.want)
		}
	}
}

// FuzzForward checks that what goes upstream is read there as it was read here: by net/http, and by ourselves once more.
func FuzzForward(f *testing.F) {
	for _, s := range []string{
		"GET /a?b HTTP/1.1\r\nHost: h\r\nX: y\r\n\r\n", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nT: v\r\n\r\n",
		"GET http://o/ HTTP/1.1\r\nHost: h\r\nConnection: close, x\r\nX: 1\r\n\r\n", "GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nraw",
		"CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n", "POST / HTTP/1.0\r\nHost: h\r\nContent-Length: 2\r\n\r\nab",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		first := forward(in)
		if first.err != nil || first.out == nil {
			return
		}
		for i := range first.head.Slots() {
			if name, _, ok := first.head.At(i); ok && !first.head.Upgrade && hop(name) != hopNothing && hop(name) != hopLength && hop(name) != hopTE {
				t.Fatalf("%q is sent on in %q", name, first.out)
			}
		}
		body := append([]byte{}, first.out...)
		if first.head.Length > 0 {
			body = append(body, bytes.Repeat([]byte{'x'}, int(min(first.head.Length, 1<<16)))...)
		}
		second := forward(string(body))
		if second.err != nil || string(second.out) != string(first.out) {
			t.Fatalf("%q is read again as %q, %v", first.out, second.out, second.err)
		}
		if len(first.head.Authority()) == 0 {
			return // refused further up
		}
		req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(first.out)))
		if err != nil {
			// net/http refuses more hosts and targets than we do; what matters is that it never understands something else.
			return
		}
		if req.Method != string(first.head.Method()) || !first.head.Upgrade && req.RequestURI != string(first.head.Path()) || !strings.EqualFold(req.Host, string(first.head.Authority())) && !strings.Contains(req.RequestURI, "://") {
			t.Fatalf("net/http reads %s %s %s in %q", req.Method, req.RequestURI, req.Host, first.out)
		}
		chunked := len(req.TransferEncoding) > 0
		if chunked != (first.head.Chunked) {
			t.Fatalf("net/http reads another framing in %q", first.out)
		}
	})
}
