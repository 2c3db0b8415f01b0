package twin

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// Upstream is a server that answers with its name, unless it is told something else.
type Upstream struct {
	Name string
	mu   sync.Mutex
	how  http.HandlerFunc
	seen int
}

// Serve starts a server at the port of its name; HTTP/2 without TLS is spoken to those who begin with it.
func Serve(t *testing.T, ports *Ports, name string) *Upstream {
	t.Helper()
	l, err := net.Listen("tcp", ports.Address(name))
	if err != nil {
		t.Fatal(err)
	}
	u := &Upstream{Name: name}
	s := httptest.NewUnstartedServer(u)
	_ = s.Listener.Close() // the port of the test's choice instead
	s.Listener = l
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetHTTP1(true)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return u
}

// Answer sets how requests are answered; nil: by the server's name.
func (u *Upstream) Answer(how http.HandlerFunc) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.how = how
}

// Fail makes every answer one with a status.
func (u *Upstream) Fail(status int) {
	u.Answer(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, u.Name, status) })
}

// Seen is the number of requests since the last call.
func (u *Upstream) Seen() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	n := u.seen
	u.seen = 0
	return n
}

// ServeHTTP implements http.Handler.
func (u *Upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u.mu.Lock()
	how := u.how
	u.seen++
	u.mu.Unlock()
	if how == nil {
		how = func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, u.Name) }
	}
	how(w, r)
}
