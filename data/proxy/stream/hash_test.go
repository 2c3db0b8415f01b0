package stream_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/config"
)

// hashing is a world with four endpoints that say who they are.
func hashing(t *testing.T, policies ...config.HashPolicy) *world {
	var addresses []string
	for i := range 4 {
		addresses = append(addresses, fmt.Sprintf("10.0.0.%d:80", i+1))
	}
	c := cluster("a", addresses...)
	c.Policy, c.RingMin, c.RingMax = config.RingHash, 1024, 1<<20
	w := newWorld(t, 1, plain(), to("a", func(f *config.Forward) { f.Hash = policies }), c)
	for _, a := range addresses {
		w.serve(a, ok(a))
	}
	return w
}

// who answers a request.
func (w *world) who(head string) string {
	answer := w.connect().ask("GET /x?user=anna HTTP/1.1\r\nHost: h\r\n" + head + "\r\n")
	return answer[strings.LastIndex(answer, "\n")+1:]
}

func TestHashPolicies(t *testing.T) {
	ttl := time.Minute
	for name, x := range map[string]struct {
		policies []config.HashPolicy
		same     [2]string // heads that lead to one endpoint
		other    []string  // heads one of which, at least, leads elsewhere
	}{
		"header":           {[]config.HashPolicy{{Header: "x-user"}}, [2]string{"X-User: anna\r\n", "x-user: anna\r\nx-more: 1\r\n"}, []string{"x-user: b\r\n", "x-user: c\r\n", "x-user: d\r\n"}},
		"header, twice":    {[]config.HashPolicy{{Header: "x-user"}}, [2]string{"x-user: a\r\nx-user: b\r\n", "x-user: b\r\nx-user: a\r\n"}, []string{"x-user: a\r\n", "x-user: b\r\n", "x-user: c\r\n"}},
		"cookie":           {[]config.HashPolicy{{Cookie: &config.HashCookie{Name: "c", TTL: &ttl}}}, [2]string{"Cookie: c=1\r\n", "cookie: x=2; c=\"1\"; y\r\n"}, []string{"cookie: c=2\r\n", "cookie: c=3\r\n", "cookie: c=4\r\n"}},
		"host":             {[]config.HashPolicy{{Header: ":authority"}}, [2]string{"", "x: y\r\n"}, nil},
		"query":            {[]config.HashPolicy{{Query: "user"}}, [2]string{"", "x: y\r\n"}, nil},
		"source":           {[]config.HashPolicy{{SourceIP: true}}, [2]string{"", "x: y\r\n"}, nil},
		"terminal":         {[]config.HashPolicy{{Header: "x-user", Terminal: true}, {Header: "x-more"}}, [2]string{"x-user: a\r\nx-more: 1\r\n", "x-user: a\r\nx-more: 2\r\n"}, nil},
		"first not there":  {[]config.HashPolicy{{Header: "x-user", Terminal: true}, {Header: "x-more"}}, [2]string{"x-more: 1\r\n", "x-more: 1\r\n"}, []string{"x-more: 2\r\n", "x-more: 3\r\n", "x-more: 4\r\n"}},
		"several together": {[]config.HashPolicy{{Header: "x-user"}, {Query: "user"}}, [2]string{"x-user: a\r\n", "x-user: a\r\n"}, []string{"x-user: b\r\n", "x-user: c\r\n", "x-user: d\r\n"}},
	} {
		w := hashing(t, x.policies...)
		first := w.who(x.same[0])
		for range 5 {
			if again := w.who(x.same[1]); again != first {
				t.Errorf("%s: %q and %q lead to %s and %s", name, x.same[0], x.same[1], first, again)
			}
		}
		elsewhere := false
		for _, head := range x.other {
			elsewhere = elsewhere || w.who(head) != first
		}
		if len(x.other) > 0 && !elsewhere {
			t.Errorf("%s: every request goes to %s", name, first)
		}
	}
}

func TestACookieIsMadeOnce(t *testing.T) {
	ttl, session := 90*time.Second, time.Duration(0)
	for want, c := range map[string]config.HashCookie{
		`set-cookie: c="*"; Max-Age=90; Path=/shop; SameSite=Lax; Secure; HttpOnly`: {Name: "c", Path: "/shop", TTL: &ttl, Attributes: []string{"SameSite=Lax", "Secure"}},
		`set-cookie: c="*"; HttpOnly`: {Name: "c", TTL: &session},
		"":                            {Name: "c"},
	} {
		w := hashing(t, config.HashPolicy{Cookie: &c})
		cl := w.connect()
		answer := cl.ask(get)
		before, after, _ := strings.Cut(want, "*")
		_, value, found := strings.Cut(answer, before)
		if want == "" {
			has(t, answer, "!set-cookie")
			continue
		}
		if !found || !strings.HasPrefix(value[16:], after+"\r\n") {
			t.Errorf("%q is not in\n%s", want, answer)
			continue
		}
		again := cl.ask("GET /x HTTP/1.1\r\nHost: h\r\nCookie: c=" + value[:16] + "\r\n\r\n")
		has(t, again, "!set-cookie", answer[strings.LastIndex(answer, "\n")+1:]) // the cookie leads where the request without it went
	}
}
