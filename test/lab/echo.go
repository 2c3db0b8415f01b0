package lab

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Seen is what an echo server saw of a request; it is the body of its answer.
type Seen struct {
	Endpoint string      `json:"endpoint"`
	Method   string      `json:"method"`
	Path     string      `json:"path"` // with query
	Host     string      `json:"host"`
	Headers  http.Header `json:"headers"`
	Body     string      `json:"body,omitempty"`
	Peer     string      `json:"peer"`
	Proto    string      `json:"proto"`
}

// Echo is a named HTTP server that answers with what it saw, and obeys x-echo-* headers:
// x-echo-status: CODE (or NAME=CODE: at this endpoint only), x-echo-delay: DURATION, x-echo-reset: yes, x-echo-fail: N (the first N requests with this x-echo-key get 503),
// x-echo-only: NAME,NAME (other endpoints answer 503), x-echo-header: NAME=VALUE.
type Echo struct {
	Name string

	mu   sync.Mutex
	keys map[string]int
	log  []Seen
}

// Requests are all that it saw, mirrored ones included.
func (e *Echo) Requests() []Seen {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]Seen(nil), e.log...)
}

// Forget empties the list of requests.
func (e *Echo) Forget() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.log, e.keys = nil, nil
}

// Serve answers on a listener until it is closed.
func (e *Echo) Serve(l net.Listener) {
	both := &http.Protocols{}
	both.SetHTTP1(true)
	both.SetUnencryptedHTTP2(true)
	s := &http.Server{Protocols: both, Handler: e, ErrorLog: log.New(io.Discard, "", 0)}
	go func() { _ = s.Serve(l) }() // it ends with the listener
}

// ServeHTTP satisfies http.Handler.
func (e *Echo) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodConnect {
		e.tunnel(w, r)
		return
	}
	if r.URL.Path == checkPath {
		e.check(w, r)
		return
	}
	body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	seen := Seen{Endpoint: e.Name, Method: r.Method, Path: r.URL.RequestURI(), Host: r.Host, Headers: r.Header, Body: string(body), Peer: r.RemoteAddr, Proto: r.Proto}
	status := e.note(seen)
	if d, err := time.ParseDuration(r.Header.Get("x-echo-delay")); err == nil {
		time.Sleep(d)
	}
	if r.Header.Get("x-echo-reset") != "" {
		panic(http.ErrAbortHandler)
	}
	if name, value, ok := cut(r.Header.Get("x-echo-header")); ok {
		w.Header().Set(name, value)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(seen) // the reader is gone otherwise
}

// tunnel is the end of a tunnel to whatever host: it greets.
func (e *Echo) tunnel(w http.ResponseWriter, r *http.Request) {
	e.note(Seen{Endpoint: e.Name, Method: r.Method, Host: r.Host, Headers: r.Header})
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		w.WriteHeader(http.StatusNotImplemented)
		return
	}
	_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n") // the reader is gone otherwise
	greet(c, e.Name)
}

// note remembers a request and decides its status.
func (e *Echo) note(s Seen) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.log = append(e.log, s)
	if n, err := strconv.Atoi(s.Headers.Get("x-echo-fail")); err == nil {
		if e.keys == nil {
			e.keys = map[string]int{}
		}
		key := s.Headers.Get("x-echo-key")
		e.keys[key]++
		if e.keys[key] <= n {
			return http.StatusServiceUnavailable
		}
	}
	if only := s.Headers.Get("x-echo-only"); only != "" && !slices.Contains(strings.Split(only, ","), e.Name) {
		return http.StatusServiceUnavailable
	}
	said := s.Headers.Get("x-echo-status")
	if name, at, ok := cut(said); ok && name == e.Name {
		said = at
	}
	if code, err := strconv.Atoi(said); err == nil {
		return code
	}
	return http.StatusOK
}

func cut(s string) (name, value string, ok bool) {
	for i := range len(s) {
		if s[i] == '=' {
			return s[:i], s[i+1:], true
		}
	}
	return "", "", false
}

// Greet serves a TCP protocol in which the server speaks first: it says its name, then echoes lines.
func Greet(l net.Listener, name string) {
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go greet(c, name)
		}
	}()
}

func greet(c net.Conn, name string) {
	defer c.Close()
	_, _ = fmt.Fprintf(c, "hello from %s\n", name) // the reader is gone otherwise
	_, _ = io.Copy(c, c)
}

// Answer serves a UDP protocol: each datagram is answered with the server's name.
func Answer(pc net.PacketConn, name string) {
	go func() {
		b := make([]byte, 2048)
		for {
			_, from, err := pc.ReadFrom(b)
			if err != nil {
				return
			}
			_, _ = pc.WriteTo([]byte(name), from) // a client that is gone is not answered
		}
	}()
}
