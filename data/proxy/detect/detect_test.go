package detect_test

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/detect"
)

// hello captures what crypto/tls sends first.
func hello(t testing.TB, c *tls.Config) []byte {
	t.Helper()
	a, b := net.Pipe()
	go func() {
		_ = tls.Client(a, c).Handshake()
	}()
	defer a.Close()
	_ = b.SetReadDeadline(time.Now().Add(5 * time.Second))
	head := make([]byte, 5)
	if _, err := io.ReadFull(b, head); err != nil {
		t.Fatal(err)
	}
	body := make([]byte, binary.BigEndian.Uint16(head[3:]))
	if _, err := io.ReadFull(b, body); err != nil {
		t.Fatal(err)
	}
	return append(head, body...)
}

// fragments splits the one record of p into records of at most n bytes.
func fragments(p []byte, n int) (out []byte) {
	for body := p[5:]; len(body) > 0; {
		k := min(n, len(body))
		out = append(out, p[0], p[1], p[2], byte(k>>8), byte(k))
		out = append(out, body[:k]...)
		body = body[k:]
	}
	return out
}

func TestClientHello(t *testing.T) {
	cases := []struct {
		name   string
		config *tls.Config
		want   detect.Hello
	}{
		{"istio mutual", &tls.Config{ServerName: "outbound_.80_._.Shop.ns.svc.cluster.local", NextProtos: []string{"istio-peer-exchange", "istio"}},
			detect.Hello{ServerName: "outbound_.80_._.shop.ns.svc.cluster.local", Protocols: []string{"istio-peer-exchange", "istio"}, Version: tls.VersionTLS13}},
		{"no name", &tls.Config{InsecureSkipVerify: true}, detect.Hello{Version: tls.VersionTLS13}},
		{"tls 1.2", &tls.Config{ServerName: "a.example", MaxVersion: tls.VersionTLS12}, detect.Hello{ServerName: "a.example", Version: tls.VersionTLS12}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			whole := hello(t, c.config)
			for _, p := range [][]byte{whole, fragments(whole, 1), fragments(whole, 7), fragments(whole, 100), append(slices.Clone(whole), "more"...)} {
				got, v := detect.ClientHello(p)
				if v != detect.Found || got.ServerName != c.want.ServerName || !slices.Equal(got.Protocols, c.want.Protocols) || got.Version != c.want.Version {
					t.Fatalf("verdict %d, %+v; want %+v", v, got, c.want)
				}
			}
			for i := range whole {
				if _, v := detect.ClientHello(whole[:i]); v != detect.More {
					t.Fatalf("prefix of %d bytes: verdict %d", i, v)
				}
			}
		})
	}
}

func TestNotTLS(t *testing.T) {
	for name, p := range map[string][]byte{
		"http":         []byte("GET / HTTP/1.1\r\n"),
		"alert record": {21, 3, 1, 0, 2, 1, 0},
		"version":      {22, 2, 0, 0, 10, 1},
		"server hello": {22, 3, 1, 0, 10, 2},
		"empty record": {22, 3, 1, 0, 0},
		"long record":  {22, 3, 1, 0xff, 0xff},
		"long message": {22, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff},
		"short fields": {22, 3, 1, 0, 6, 1, 0, 0, 2, 3, 3},
	} {
		if _, v := detect.ClientHello(p); v != detect.Other {
			t.Errorf("%s: verdict %d", name, v)
		}
	}
	endless := append([]byte{22, 3, 1, 0x40, 0, 1, 0, 0xff, 0xff}, make([]byte, 1<<14-4)...)
	for len(endless) < detect.MaxInspect {
		endless = append(endless, 22, 3, 1, 0, 1, 0)
	}
	if _, v := detect.ClientHello(endless); v != detect.Other {
		t.Errorf("endless hello: verdict %d", v)
	}
}

func TestHTTP(t *testing.T) {
	cases := []struct {
		in       string
		protocol string
		v        detect.Verdict
	}{
		{"", "", detect.More},
		{"G", "", detect.More},
		{"GET", "", detect.More},
		{"GET /index.html HT", "", detect.More},
		{"GET / HTTP/1.1\r\n", detect.HTTP11, detect.Found},
		{"GET / HTTP/1.1\r", detect.HTTP11, detect.Found},
		{"GET / HTTP/1.0\n", detect.HTTP10, detect.Found},
		{"M-SEARCH * HTTP/1.1\r\n", detect.HTTP11, detect.Found},
		{"GET / HTTP/2.0\r\n", "", detect.Other},
		{"GET /\r\n", "", detect.Other},
		{"GET  HTTP/1.1\r\n", "", detect.Other},
		{"BREW / HTTP/1.1\r\n", "", detect.Other},
		{"BRE", "", detect.Other},
		{"\r\nGET / HTTP/1.1\r\n", "", detect.Other},
		{"*3\r\n$3\r\nSET\r\n", "", detect.Other},
		{"GET /\x00 HTTP/1.1\r\n", "", detect.Other},
		{"GET /\x00", "", detect.Other},
		{"PR", "", detect.More},
		{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r", "", detect.More},
		{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", detect.H2C, detect.Found},
		{"PRI * HTTP/2.0\r\n\r\nXX", "", detect.Other},
		{"PROPFIND / HTTP/1.1\r\n", detect.HTTP11, detect.Found},
		{"GET /" + strings.Repeat("a", detect.MaxInspect), "", detect.Other},
	}
	for _, c := range cases {
		if got, v := detect.HTTP([]byte(c.in)); got != c.protocol || v != c.v {
			t.Errorf("%.40q: %q, verdict %d; want %q, %d", c.in, got, v, c.protocol, c.v)
		}
	}
}

// checkPrefixes: a decided prefix decides the whole, and nothing is undecided past the limit.
func checkPrefixes(t *testing.T, p []byte, verdict func([]byte) detect.Verdict) {
	before := bytes.Clone(p)
	whole := verdict(p)
	for i := 0; i < len(p); i += 1 + i/8 {
		if v := verdict(p[:i]); v != detect.More && v != whole {
			t.Fatalf("prefix of %d bytes says %d, the whole %d", i, v, whole)
		}
	}
	if whole == detect.More && len(p) >= detect.MaxInspect {
		t.Fatal("undecided past the limit")
	}
	if !bytes.Equal(before, p) {
		t.Fatal("the input was changed")
	}
}

func FuzzClientHello(f *testing.F) {
	whole := hello(f, &tls.Config{ServerName: "a.example", NextProtos: []string{"h2", "http/1.1"}})
	f.Add(whole)
	f.Add(fragments(whole, 11))
	f.Add([]byte{22, 3, 1, 0, 6, 1, 0, 0, 2, 3, 3})
	f.Fuzz(func(t *testing.T, p []byte) {
		checkPrefixes(t, p, func(p []byte) detect.Verdict { _, v := detect.ClientHello(p); return v })
	})
}

func FuzzHTTP(f *testing.F) {
	for _, s := range []string{"GET / HTTP/1.1\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "PUT /x HTTP/1.0\n", "PROP", "\x16\x03\x01"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		checkPrefixes(t, p, func(p []byte) detect.Verdict { _, v := detect.HTTP(p); return v })
	})
}
