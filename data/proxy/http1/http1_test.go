package http1

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// recorder writes events down as text; limit makes it accept bodies in small pieces.
type recorder struct {
	p     *Parser
	out   strings.Builder
	body  []byte
	limit int
	again bool // allow the next message at the end of each
	heads int
}

func (r *recorder) Head(h *Head) {
	r.heads++
	fmt.Fprintf(&r.out, "head %s %s %d 1.%d host=%q length=%d chunked=%v keep=%v upgrade=%q expect=%v\n",
		h.Method, h.Target, h.Status, h.Minor, h.Host, h.ContentLength, h.Chunked, h.KeepAlive, h.Upgrade, h.Expect100)
	for _, f := range h.Fields {
		fmt.Fprintf(&r.out, "  %s=%s\n", f.Name, f.Value)
	}
}

func (r *recorder) Body(p []byte) int {
	n := len(p)
	if r.limit > 0 {
		n = min(n, r.limit)
	}
	r.body = append(r.body, p[:n]...)
	return n
}

func (r *recorder) End(trailers []Field) {
	fmt.Fprintf(&r.out, "end body=%q", r.body)
	for _, f := range trailers {
		fmt.Fprintf(&r.out, " %s=%s", f.Name, f.Value)
	}
	r.out.WriteByte('\n')
	r.body = r.body[:0]
	if r.again {
		if r.p.kind == Request {
			r.p.Next()
		} else {
			r.p.Expect([]byte("GET"))
		}
	}
}

// parse feeds pieces of at most step bytes (0: all at once) and tells what came out.
func parse(kind Kind, text string, step int, eof bool) string {
	r := &recorder{again: true}
	r.p = &Parser{}
	r.p.Init(kind, Limits{}, r)
	if kind == Response {
		r.p.Expect([]byte("GET"))
	}
	var kept []byte
	for in := []byte(text); len(in) > 0; {
		n := len(in)
		if step > 0 {
			n = min(n, step)
		}
		kept = append(kept, in[:n]...)
		in = in[n:]
		done, err := r.p.Feed(kept)
		if err != nil {
			fmt.Fprintf(&r.out, "error %v\n", err)
			return r.out.String()
		}
		kept = append(kept[:0:0], kept[done:]...)
	}
	if eof {
		if err := r.p.EOF(); err != nil {
			fmt.Fprintf(&r.out, "error %v\n", err)
		}
	}
	return r.out.String()
}

func TestRequests(t *testing.T) {
	for name, tt := range map[string]struct{ in, want string }{
		"plain":        {"GET /a?b HTTP/1.1\r\nHost: x\r\n\r\n", "head GET /a?b 0 1.1 host=\"x\" length=-1 chunked=false keep=true upgrade=\"\" expect=false\n  Host=x\nend body=\"\"\n"},
		"length":       {"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc", "head POST / 0 1.1 host=\"x\" length=3 chunked=false keep=true upgrade=\"\" expect=false\n  host=x\n  content-length=3\nend body=\"abc\"\n"},
		"chunked":      {"POST / HTTP/1.1\r\nhost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: v\r\n\r\n", "head POST / 0 1.1 host=\"x\" length=-1 chunked=true keep=true upgrade=\"\" expect=false\n  host=x\n  Transfer-Encoding=chunked\nend body=\"abcde\" T=v\n"},
		"close":        {"GET / HTTP/1.1\r\nhost: x\r\nConnection: foo, Close\r\n\r\n", "head GET / 0 1.1 host=\"x\" length=-1 chunked=false keep=false upgrade=\"\" expect=false\n  host=x\n  Connection=foo, Close\nend body=\"\"\n"},
		"upgrade":      {"GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n", "head GET / 0 1.1 host=\"x\" length=-1 chunked=false keep=true upgrade=\"websocket\" expect=false\n  host=x\n  connection=upgrade\n  upgrade=websocket\nend body=\"\"\n"},
		"1.0":          {"GET / HTTP/1.0\r\n\r\n", "head GET / 0 1.0 host=\"\" length=-1 chunked=false keep=false upgrade=\"\" expect=false\nend body=\"\"\n"},
		"blank lines":  {"\r\n\r\nOPTIONS * HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\n\r\n", "head OPTIONS * 0 1.1 host=\"x\" length=-1 chunked=false keep=true upgrade=\"\" expect=true\n  host=x\n  expect=100-continue\nend body=\"\"\n"},
		"both lengths": {"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n", "error http1.content_length_and_chunked_not_allowed\n"},
		"two lengths":  {"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ncontent-length: 3\r\n\r\n", "error http1.codec_error\n"},
		"bad length":   {"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: +3\r\n\r\n", "error http1.codec_error\n"},
		"huge length":  {"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9999999999999999999\r\n\r\n", "error http1.codec_error\n"},
		"bare LF":      {"GET / HTTP/1.1\nhost: x\n\n", "error http1.codec_error\n"},
		"fold":         {"GET / HTTP/1.1\r\nhost: x\r\na: b\r\n c\r\n\r\n", "error http1.codec_error\n"},
		"space colon":  {"GET / HTTP/1.1\r\nhost : x\r\n\r\n", "error http1.codec_error\n"},
		"NUL":          {"GET / HTTP/1.1\r\nhost: x\r\na: b\x00c\r\n\r\n", "error http1.invalid_characters\n"},
		"no host":      {"GET / HTTP/1.1\r\n\r\n", "head GET / 0 1.1 host=\"\" length=-1 chunked=false keep=true upgrade=\"\" expect=false\nend body=\"\"\n"},
		"two hosts":    {"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", "error http.invalid_authority\n"},
		"strange host": {"GET / HTTP/1.1\r\nhost: a@b\r\n\r\n", "error http.invalid_authority\n"},
		"bad target":   {"GET a HTTP/1.1\r\nhost: x\r\n\r\n", "error http1.invalid_url\n"},
		"star":         {"GET * HTTP/1.1\r\nhost: x\r\n\r\n", "error http1.invalid_url\n"},
		"http/2":       {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "error http1.invalid_url\n"},
		"gzip":         {"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip, chunked\r\n\r\n", "error http1.invalid_transfer_encoding\n"},
		"bad chunk":    {"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", "error http1.codec_error\n"},
		"long chunk":   {"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n", "error http1.codec_error\n"},
		"TLS":          {"\x16\x03\x01\x02\x00", "error http1.codec_error\n"},
		"large":        {"GET / HTTP/1.1\r\nhost: x\r\na: " + strings.Repeat("b", 70000), "error http1.headers_too_large\n"},
		"many":         {"GET / HTTP/1.1\r\nhost: x\r\n" + strings.Repeat("a: b\r\n", 101) + "\r\n", "error http1.too_many_headers\n"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, step := range []int{0, 1, 7} {
				got := parse(Request, tt.in, step, false)
				if i := strings.Index(got, "error"); i > 0 && strings.HasPrefix(tt.want, "error") {
					got = got[i:] // a head may have been shown before
				}
				if got != tt.want {
					t.Errorf("in steps of %d:\n%swant\n%s", step, got, tt.want)
				}
			}
		})
	}
}

func TestResponses(t *testing.T) {
	const head = " 1.1 host=\"\" "
	for name, tt := range map[string]struct{ in, want string }{
		"length":    {"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi", "head   200" + head + "length=2 chunked=false keep=true upgrade=\"\" expect=false\n  content-length=2\nend body=\"hi\"\n"},
		"close":     {"HTTP/1.1 200\r\n\r\nuntil the end", "head   200" + head + "length=-1 chunked=false keep=false upgrade=\"\" expect=false\nend body=\"until the end\"\n"},
		"no body":   {"HTTP/1.1 204 No Content\r\n\r\n", "head   204" + head + "length=-1 chunked=false keep=true upgrade=\"\" expect=false\nend body=\"\"\n"},
		"continue":  {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n", "head   100" + head + "length=-1 chunked=false keep=true upgrade=\"\" expect=false\nhead   304" + head + "length=9 chunked=false keep=true upgrade=\"\" expect=false\n  content-length=9\nend body=\"\"\n"},
		"truncated": {"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nhi", "head   200" + head + "length=3 chunked=false keep=true upgrade=\"\" expect=false\n  content-length=3\nerror http1.codec_error\n"},
		"garbage":   {"SSH-2.0-x\r\n\r\n", "error http1.codec_error\n"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, step := range []int{0, 1, 7} {
				if got := parse(Response, tt.in, step, true); got != tt.want && !(name == "close" && step != 0 && strings.HasSuffix(got, "end body=\"until the end\"\n")) {
					t.Errorf("in steps of %d:\n%swant\n%s", step, got, tt.want)
				}
			}
		})
	}
}

func TestHeadAndConnectHaveNoBody(t *testing.T) {
	r := &recorder{}
	r.p = &Parser{}
	r.p.Init(Response, Limits{}, r)
	r.p.Expect([]byte("HEAD"))
	if n, err := r.p.Feed([]byte("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n")); err != nil || n == 0 || !strings.Contains(r.out.String(), "end") {
		t.Errorf("HEAD: %v, %q", err, r.out.String())
	}
	if _, err := r.p.Feed([]byte("x")); err == nil {
		t.Error("bytes that nobody asked for were taken")
	}
}

func TestBackPressure(t *testing.T) {
	r := &recorder{limit: 2, again: true}
	r.p = &Parser{}
	r.p.Init(Request, Limits{}, r)
	in := []byte("POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n")
	rounds := 0
	for len(in) > 0 {
		n, err := r.p.Feed(in)
		if err != nil {
			t.Fatal(err)
		}
		in = in[n:]
		rounds++
	}
	if rounds < 3 || !strings.HasSuffix(r.out.String(), "end body=\"abcde\"\n") {
		t.Errorf("%d rounds, %q", rounds, r.out.String())
	}
}

func TestRetain(t *testing.T) {
	var h, kept Head
	buf := []byte("GET /x HTTP/1.1\r\nhost: y\r\na: b\r\n\r\n")
	p := Parser{kind: Request, limits: Limits{HeadBytes: 60 << 10, Fields: 100}}
	if err := p.parseHead(buf); err != nil {
		t.Fatal(err)
	}
	h = p.head
	kept.Retain(&h)
	clear(buf)
	if string(kept.Target) != "/x" || string(kept.Host) != "y" || string(kept.Get("a")) != "b" {
		t.Errorf("kept %s %s %s", kept.Target, kept.Host, kept.Get("a"))
	}
}

func TestAppendFieldCannotSplit(t *testing.T) {
	if got := string(AppendField(nil, "X-A\r\n", "b\r\nc: d\x00")); got != "x-a: bc: d\r\n" {
		t.Errorf("%q", got)
	}
}

func FuzzRequest(f *testing.F) {
	f.Add("GET / HTTP/1.1\r\nhost: x\r\n\r\n", 1)
	f.Add("POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nt: v\r\n\r\nGET / HTTP/1.1\r\nhost: x\r\n\r\n", 5)
	f.Add("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc", 2)
	f.Fuzz(func(t *testing.T, in string, step int) {
		whole, pieces := parse(Request, in, 0, true), parse(Request, in, 1+abs(step)%50, true)
		if whole != pieces {
			t.Errorf("in one piece:\n%s\nin pieces:\n%s", whole, pieces)
		}
		agree(t, in, whole)
	})
}

// agree compares with net/http: what we accept as one request it must read alike, or refuse.
func agree(t *testing.T, in, ours string) {
	if !strings.HasPrefix(ours, "head ") || strings.Contains(ours, "error") {
		return
	}
	req, err := http.ReadRequest(bufio.NewReader(strings.NewReader(in)))
	if err != nil {
		return
	}
	want := fmt.Sprintf("head %s %s 0 1.%d", req.Method, req.RequestURI, req.ProtoMinor)
	if !strings.HasPrefix(ours, want) {
		t.Errorf("net/http reads %s, we read %s", want, ours)
	}
}

func FuzzResponse(f *testing.F) {
	f.Add("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi", 1)
	f.Add("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n", 3)
	f.Fuzz(func(t *testing.T, in string, step int) {
		if whole, pieces := parse(Response, in, 0, true), parse(Response, in, 1+abs(step)%50, true); whole != pieces {
			t.Errorf("in one piece:\n%s\nin pieces:\n%s", whole, pieces)
		}
	})
}

func abs(n int) int {
	if n < 0 {
		return -(n + 1)
	}
	return n
}

// discard is a sink without memory.
type discard struct{ p *Parser }

func (d *discard) Head(*Head)        {}
func (d *discard) Body(p []byte) int { return len(p) }
func (d *discard) End([]Field)       { d.p.Next() }

var sample = []byte("GET /index.html?q=1 HTTP/1.1\r\nHost: example.org\r\nUser-Agent: bench\r\nAccept: */*\r\nAccept-Encoding: gzip\r\nX-Request-Id: 0123456789\r\nCookie: a=b\r\n\r\n")

func TestParseAllocatesNothing(t *testing.T) {
	p := &Parser{}
	p.Init(Request, Limits{}, &discard{p})
	if n := testing.AllocsPerRun(100, func() {
		if n, err := p.Feed(sample); n != len(sample) || err != nil {
			t.Fatal(n, err)
		}
	}); n != 0 {
		t.Errorf("%v allocations a request, want 0", n)
	}
}

func BenchmarkParse(b *testing.B) {
	p := &Parser{}
	p.Init(Request, Limits{}, &discard{p})
	b.SetBytes(int64(len(sample)))
	for b.Loop() {
		p.Feed(sample)
	}
}

func TestRoundTrip(t *testing.T) {
	out := AppendRequestLine(nil, []byte("POST"), "/x")
	out = AppendField(out, "Host", "y")
	out = AppendField(out, "transfer-encoding", "chunked")
	out = AppendHeadEnd(out)
	out = AppendChunk(out, []byte("hello"))
	out = AppendLastChunk(out, []Field{{[]byte("T"), []byte("v")}})
	req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(out)))
	if err != nil || req.Host != "y" || req.URL.Path != "/x" {
		t.Errorf("%v %v", req, err)
	}
}
