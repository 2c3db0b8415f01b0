package smuggling

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// seen is a request as a parser of an upstream saw it. Front is what the proxy wrote into it about what it had judged.
type seen struct {
	Method string
	Host   string
	Path   string
	Role   []string // values of x-role, which the policy looks at
	Front  []string
	Bytes  int // of the body; -1 when it did not end
	attack string
}

func (s seen) String() string { return fmt.Sprintf("%s %s %s", s.Method, s.Host, s.Path) }

// upstream is a server of one version of HTTP that keeps every byte it gets, by connection.
type upstream struct {
	http2 bool // HTTP/2
	port  string

	mu      sync.Mutex
	current string // the attack that is under way
	conns   []*recorded
}

// recorded is a connection of an upstream.
type recorded struct {
	net.Conn
	up       *upstream
	raw      []byte
	requests []*seen
}

// forwarded is what the proxy has written about each request into it, as x-front, which no client can.
func (r *recorded) forwarded() (fronts []string) {
	if !r.up.http2 {
		for _, m := range front.FindAllSubmatch(r.raw, -1) {
			fronts = append(fronts, string(m[1]))
		}
		return fronts
	}
	f := http2.NewFramer(io.Discard, bytes.NewReader(bytes.TrimPrefix(r.raw, []byte(http2.ClientPreface))))
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	for {
		fr, err := f.ReadFrame()
		if err != nil {
			return fronts
		}
		if h, ok := fr.(*http2.MetaHeadersFrame); ok {
			for _, f := range h.Fields {
				if f.Name == "x-front" && strings.Contains(f.Value, " ") { // not what the corpus forges
					fronts = append(fronts, f.Value)
				}
			}
		}
	}
}

var front = regexp.MustCompile(`\r\nx-front: ([^\r ]+ [^\r]*)\r\n`)

func (r *recorded) Read(p []byte) (int, error) {
	n, err := r.Conn.Read(p)
	r.up.mu.Lock()
	defer r.up.mu.Unlock()
	r.raw = append(r.raw, p[:n]...)
	return n, err
}

type recording struct {
	net.Listener
	up *upstream
}

func (l recording) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	r := &recorded{Conn: c, up: l.up}
	l.up.mu.Lock()
	defer l.up.mu.Unlock()
	l.up.conns = append(l.up.conns, r)
	return r, nil
}

type connKey struct{}

// newUpstream starts a server by net/http, the first of the parsers.
func newUpstream(t *testing.T, second bool) *upstream {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u := &upstream{http2: second}
	_, u.port, _ = net.SplitHostPort(l.Addr().String())
	p := &http.Protocols{}
	p.SetHTTP1(!second)
	p.SetUnencryptedHTTP2(second)
	s := &http.Server{
		Protocols: p, Handler: http.HandlerFunc(u.serve), ErrorLog: log.New(io.Discard, "", 0), DisableGeneralOptionsHandler: true,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) },
	}
	go func() { _ = s.Serve(recording{l, u}) }()
	t.Cleanup(func() { _ = s.Close() })
	return u
}

func (u *upstream) serve(w http.ResponseWriter, r *http.Request) {
	s := &seen{Method: r.Method, Host: r.Host, Path: r.RequestURI, Role: r.Header.Values("X-Role"), Front: r.Header.Values("X-Front"), Bytes: -1}
	u.mu.Lock()
	s.attack = u.current
	c := r.Context().Value(connKey{}).(*recorded)
	c.requests = append(c.requests, s)
	u.mu.Unlock()
	n, err := io.Copy(io.Discard, r.Body)
	if err == nil {
		u.mu.Lock()
		s.Bytes = int(n)
		u.mu.Unlock()
	}
	w.Header().Set("X-Saw", s.String())
	_, _ = io.WriteString(w, "ok") // a client that has gone is no concern
}

func (u *upstream) begin(attack string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.current = attack
}

// of lists the whole requests of one attack, as net/http saw them. How much of a broken one is on its way before it is given up is a matter of chance.
func (u *upstream) of(attack string) string {
	u.mu.Lock()
	defer u.mu.Unlock()
	var list []string
	for _, c := range u.conns {
		for _, s := range c.requests {
			if s.attack == attack && s.Bytes >= 0 && s.Host != "canary.test" {
				list = append(list, s.String())
			}
		}
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

// evidence is a copy of every connection so far; some may still be open.
func (u *upstream) evidence() (all []*recorded) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, c := range u.conns {
		r := &recorded{up: u, raw: bytes.Clone(c.raw)}
		for _, s := range c.requests {
			one := *s
			r.requests = append(r.requests, &one)
		}
		all = append(all, r)
	}
	return all
}
