package resolve

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/config"
)

// zone answers names; each look-up takes a second.
type zone struct {
	mu    sync.Mutex
	names map[string][]netip.Addr
	ttl   time.Duration
	asked int
}

func (z *zone) Lookup(_ context.Context, _, host string) ([]netip.Addr, time.Duration, error) {
	time.Sleep(time.Second)
	z.mu.Lock()
	defer z.mu.Unlock()
	z.asked++
	if ips := z.names[host]; len(ips) > 0 {
		return append([]netip.Addr(nil), ips...), z.ttl, nil
	}
	return nil, 0, errors.New("no such host")
}

func (z *zone) set(host string, ips ...string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.names[host] = nil
	for _, ip := range ips {
		z.names[host] = append(z.names[host], netip.MustParseAddr(ip))
	}
}

func (z *zone) count() int {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.asked
}

func names() *config.Names {
	return &config.Names{Name: "n", Family: config.DNSAll, Refresh: time.Minute, Least: 5 * time.Second, Unused: 5 * time.Minute, Timeout: 5 * time.Second, Most: 8, Pending: 20}
}

// find waits for the answer.
func find(n *Names, def *config.Names, reach config.Reach, name string) (string, error) {
	type answer struct {
		ip  netip.Addr
		err error
	}
	c := make(chan answer, 1)
	ip, err, wait := n.Find(def, reach, name, func(ip netip.Addr, err error) { c <- answer{ip, err} })
	if wait != nil {
		a := <-c
		ip, err = a.ip, a.err
	}
	if err != nil {
		return "", err
	}
	return ip.String(), nil
}

func TestAnswersHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := &zone{names: map[string][]netip.Addr{}, ttl: time.Second}
		z.set("a.test", "fd00::1", "10.0.0.1")
		n := New(Options{Resolver: z})
		want := func(name, ip string, asked int) {
			t.Helper()
			got, err := find(n, names(), config.Reach{}, name)
			if synctest.Wait(); got != ip || z.count() != asked {
				t.Errorf("%s is %q (%v) after %d look-ups, want %q after %d", name, got, err, z.count(), ip, asked)
			}
		}
		want("A.test.", "10.0.0.1", 1)
		time.Sleep(4 * time.Second) // more than the answer's own second, less than the shortest time
		want("a.test", "10.0.0.1", 1)
		z.set("a.test", "10.0.0.2")
		time.Sleep(2 * time.Second)
		want("a.test", "10.0.0.1", 1) // what is known serves while a newer answer is on its way
		time.Sleep(2 * time.Second)
		want("a.test", "10.0.0.2", 2)
		z.set("a.test")
		time.Sleep(6 * time.Second)
		want("a.test", "10.0.0.2", 2)
		time.Sleep(2 * time.Second)
		want("a.test", "10.0.0.2", 3) // a failure leaves what was known
		time.Sleep(10 * time.Minute)
		want("a.test", "", 4) // but not for ever
		want("a.test", "", 4) // and is remembered
		want("b.test", "", 5)
		z.set("b.test", "10.0.0.3")
		want("b.test", "", 5)
		time.Sleep(6 * time.Second)
		want("b.test", "10.0.0.3", 6)
	})
}

func TestLookUpsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := &zone{names: map[string][]netip.Addr{}}
		z.set("kept.test", "10.0.0.1")
		n := New(Options{Resolver: z})
		if _, err := find(n, names(), config.Reach{}, "kept.test"); err != nil {
			t.Fatal(err)
		}
		results := map[error]int{}
		var mu sync.Mutex
		note := func(err error) {
			mu.Lock()
			defer mu.Unlock()
			results[err]++
		}
		for i := range 100 {
			_, err, wait := n.Find(names(), config.Reach{}, fmt.Sprintf("x%d.test", i), func(_ netip.Addr, err error) { note(errNothing) })
			if wait == nil {
				note(err)
			}
		}
		for range 30 {
			if _, err, wait := n.Find(names(), config.Reach{}, "x1.test", func(netip.Addr, error) {}); wait == nil {
				note(err)
			}
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := n.caches["n"]; len(got.names) > 8 || got.waiting != 0 || got.looking != 0 || results[ErrOverflow] == 0 || results[ErrPending] == 0 {
			t.Errorf("%d names are known, %d wait, %d are looked up, refused: %v", len(got.names), got.waiting, got.looking, results)
		}
		if got := z.count(); got > 9 {
			t.Errorf("%d look-ups for 101 names, of which 8 may be known", got)
		}
		for i := range 20 {
			_, _ = find(n, names(), config.Reach{}, fmt.Sprintf("y%d.test", i))
			if got, err := find(n, names(), config.Reach{}, "kept.test"); got != "10.0.0.1" { // what failed goes before what is used
				t.Fatal(got, err)
			}
		}
	})
}

func TestACancelledWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(Options{Resolver: &zone{names: map[string][]netip.Addr{}}})
		_, _, wait := n.Find(names(), config.Reach{}, "a.test", func(netip.Addr, error) { t.Error("a client that has gone was called") })
		wait.Cancel()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if c := n.caches["n"]; c.waiting != 0 {
			t.Errorf("%d wait", c.waiting)
		}
	})
}

func TestNamesThatLeadHome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := &zone{names: map[string][]netip.Addr{}}
		n := New(Options{Resolver: z, Own: func() []netip.Addr { return []netip.Addr{netip.MustParseAddr("10.9.9.9")} }})
		for i, c := range []struct {
			ip    string
			allow string
			want  error
		}{
			{"127.0.0.1", "", ErrForbidden}, {"127.8.8.8", "", ErrForbidden}, {"::1", "", ErrForbidden}, {"::ffff:127.0.0.1", "", ErrForbidden}, {"64:ff9b::7f00:1", "", ErrForbidden},
			{"::127.0.0.1", "", ErrForbidden}, {"0.0.0.0", "", ErrForbidden}, {"0.1.2.3", "", ErrForbidden}, {"::", "", ErrForbidden}, {"169.254.169.254", "", ErrForbidden}, {"fe80::1", "", ErrForbidden},
			{"224.0.0.1", "", ErrForbidden}, {"255.255.255.255", "", ErrForbidden}, {"ff02::1", "", ErrForbidden}, {"10.9.9.9", "", ErrForbidden},
			{"10.9.9.8", "", nil}, {"fd00::1", "", nil}, {"64:ff9b::a00:1", "", nil}, {"127.0.0.1", "127.0.0.0/8", nil}, {"10.9.9.9", "10.9.9.9/32", nil}, {"169.254.169.254", "127.0.0.0/8", ErrForbidden},
		} {
			reach := config.Reach{Host: "*.test"}
			if c.allow != "" {
				reach.Allow = []netip.Prefix{netip.MustParsePrefix(c.allow)}
			}
			host := fmt.Sprintf("h%d.test", i)
			z.set(host, c.ip)
			if _, err := find(n, names(), reach, host); !errors.Is(err, c.want) {
				t.Errorf("a name of %s with %q allowed: %v, want %v", c.ip, c.allow, err, c.want)
			}
			if _, err := find(n, names(), config.Reach{Allow: reach.Allow}, c.ip); !errors.Is(err, c.want) { // asked for as it is
				t.Errorf("%s with %q allowed: %v, want %v", c.ip, c.allow, err, c.want)
			}
		}
		z.set("both.test", "127.0.0.1", "10.1.1.1")
		if got, err := find(n, names(), config.Reach{}, "both.test"); got != "10.1.1.1" {
			t.Errorf("of two addresses %q is taken: %v", got, err)
		}
	})
}

func TestNamesThatMayBeAskedFor(t *testing.T) {
	for _, c := range []struct {
		name, host string
		ok         bool
	}{
		{"a.wild.test", "*.wild.test", true}, {"A.B.Wild.test.", "*.wild.test", true}, {"wild.test", "*.wild.test", false}, {".wild.test", "*.wild.test", false}, {"awild.test", "*.wild.test", false},
		{"a.wild.test.evil.test", "*.wild.test", false}, {"a..wild.test", "*.wild.test", false}, {"a/b.wild.test", "*.wild.test", false}, {"a b.wild.test", "*.wild.test", false},
		{"127.0.0.1", "*.wild.test", false}, {"x.test", "", true}, {"", "", false}, {"a\x00.wild.test", "*.wild.test", false}, {"[::1]", "", true},
	} {
		if _, ok := proper(c.name, c.host); ok != c.ok {
			t.Errorf("%q for %q: %v, want %v", c.name, c.host, ok, c.ok)
		}
	}
}
