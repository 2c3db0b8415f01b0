package serve

import (
	"slices"
	"strings"
	"testing"

	"github.com/heddle-mesh/heddle/xds"
	"github.com/heddle-mesh/heddle/xds/client"
)

func cds(name string) xds.Name { return xds.Name{TypeURL: xds.Cluster, Name: name} }
func eds(name string) xds.Name { return xds.Name{TypeURL: xds.Endpoints, Name: name} }

// body is bytes that a state-of-the-world client finds the name in: field 1.
func body(name, more string) string {
	return "\x0a" + string(rune(len(name))) + name + "\x12" + string(rune(len(more))) + more
}

const sidecar = "sidecar~10.0.0.1~pod.default~default.svc.cluster.local"

func TestPublishReachesSubscribers(t *testing.T) {
	for _, sotw := range []bool{false, true} {
		w := start(t, Options{})
		w.publish([]*xds.Resource{res(xds.Cluster, "a", body("a", "1")), res(xds.Cluster, "b", body("b", "1")), res(xds.Endpoints, "a", body("a", "1"))})
		r := newRecorder()
		w.connect(t, r, sotw, node(sidecar, "default", "alice"), func(c *client.Client) {
			c.Subscribe(xds.Cluster)
			c.Subscribe(xds.Endpoints, "a")
		})
		r.until(t, "all is there", func() bool { return r.holds(cds("b")) != "" && r.holds(eds("a")) != "" })
		w.publish([]*xds.Resource{res(xds.Endpoints, "a", body("a", "2")), res(xds.Endpoints, "other", body("other", "2"))})
		r.until(t, "new endpoints", func() bool { return r.holds(eds("a")) == body("a", "2") })
		w.publish([]*xds.Resource{res(xds.Cluster, "c", body("c", "1"))}, cds("a"))
		r.until(t, "a is gone", func() bool { return r.holds(cds("a")) == "" && r.holds(cds("c")) != "" })
		if r.holds(eds("other")) != "" {
			t.Error("endpoints came that nobody asked for")
		}
		w.observer.until(t, "acknowledged", func() bool { return slices.Contains(w.observer.log(), "acked cds c") })
	}
}

func TestStreamsBeforeTheFirstPublicationWait(t *testing.T) {
	w := start(t, Options{})
	r := newRecorder()
	w.connect(t, r, false, node(sidecar, "default", "alice"), func(c *client.Client) { c.Subscribe(xds.Cluster) })
	w.observer.until(t, "connected", func() bool { return len(w.observer.log()) > 0 })
	w.publish([]*xds.Resource{res(xds.Cluster, "a", "1")})
	r.until(t, "the cluster", func() bool { return r.holds(cds("a")) == "1" })
}

func TestRejectionIsIsolatedAndReported(t *testing.T) {
	for _, sotw := range []bool{false, true} {
		w := start(t, Options{})
		bad := body("bad", "2")
		w.publish([]*xds.Resource{res(xds.Cluster, "good", body("good", "1")), res(xds.Cluster, "bad", body("bad", "1"))})
		r := newRecorder()
		r.reject = func(x *xds.Resource) string {
			if string(x.Body) == bad {
				return "lb_policy: not supported"
			}
			return ""
		}
		_, stop := w.connect(t, r, sotw, node(sidecar, "default", "alice"), func(c *client.Client) { c.Subscribe(xds.Cluster) })
		r.until(t, "first", func() bool { return r.holds(cds("bad")) != "" })
		w.publish([]*xds.Resource{res(xds.Cluster, "good", body("good", "2")), res(xds.Cluster, "bad", bad)})
		want := "rejected cds bad [Test/default/bad]: bad: lb_policy: not supported"
		w.observer.until(t, want, func() bool { return slices.Contains(w.observer.log(), want) })
		r.until(t, "the rest", func() bool { return r.holds(cds("good")) == body("good", "2") })
		if got := r.holds(cds("bad")); got != body("bad", "1") {
			t.Errorf("last good is %q", got)
		}
		// Another client of the same build still gets to hear the good part in one piece.
		other := newRecorder()
		other.reject = r.reject
		w.connect(t, other, sotw, node("sidecar~10.0.0.2~pod2.default~default.svc.cluster.local", "default", "alice"), func(c *client.Client) { c.Subscribe(xds.Cluster) })
		other.until(t, "the rest", func() bool { return other.holds(cds("good")) == body("good", "2") })
		w.observer.until(t, "both rejected", func() bool {
			n := 0
			for _, e := range w.observer.log() {
				if e == want {
					n++
				}
			}
			return n == 2
		})
		// A proxy that is started anew gets what it kept, since it holds nothing by itself, and it is told again that the rest was refused.
		stop()
		fresh := newRecorder()
		fresh.reject = r.reject
		w.connect(t, fresh, sotw, node(sidecar, "default", "alice"), func(c *client.Client) { c.Subscribe(xds.Cluster) })
		fresh.until(t, "the last good version", func() bool {
			return fresh.holds(cds("bad")) == body("bad", "1") && fresh.holds(cds("good")) == body("good", "2")
		})
		w.observer.until(t, "rejected once more", func() bool { return slices.Contains(after(w.observer.log(), "disconnected "+sidecar), want) })
	}
}

// after is what follows an event.
func after(events []string, event string) []string {
	if i := slices.Index(events, event); i >= 0 {
		return events[i+1:]
	}
	return nil
}

func TestReconnectSendsOnlyDifferences(t *testing.T) {
	w := start(t, Options{})
	w.publish([]*xds.Resource{res(xds.Cluster, "a", "1"), res(xds.Cluster, "b", "1"), res(xds.Cluster, "c", "1"), res(xds.Endpoints, "a", "1")})
	r := newRecorder()
	w.connect(t, r, false, node(sidecar, "default", "alice"), func(c *client.Client) {
		c.Subscribe(xds.Cluster)
		c.Subscribe(xds.Endpoints, "a")
	})
	r.until(t, "all four", func() bool { return r.received() == 4 })
	w.observer.until(t, "acknowledged", func() bool { return slices.Contains(w.observer.log(), "acked eds a") })

	// A second server, as after a restart, with one change and one removal.
	next := &desk{server: New(Options{Authenticator: fixed{alice}, Observer: w.observer})}
	next.now = table{}
	for n, x := range w.now {
		next.now[n] = x
	}
	next.publish([]*xds.Resource{res(xds.Cluster, "b", "2")}, cds("c"))
	w.swapServer(t, next)
	r.until(t, "the difference", func() bool { return r.holds(cds("b")) == "2" && r.holds(cds("c")) == "" })
	if got := r.received(); got != 5 {
		t.Errorf("%d resources came in all, want 4 and the changed one", got)
	}
}

func TestNodeMayNotClaimWhatItsCredentialIsNotFor(t *testing.T) {
	w := start(t, Options{})
	w.publish([]*xds.Resource{res(xds.Cluster, "a", "1")})
	for _, c := range []struct{ id, ns, sa, want string }{
		{sidecar, "kube-system", "alice", `metadata NAMESPACE claims "kube-system" but its credential is for "default"`},
		{sidecar, "default", "root", `metadata SERVICE_ACCOUNT claims "root" but its credential is for "alice"`},
		{"sidecar~10.0.0.1~pod.secret~secret.svc.cluster.local", "", "", `the node id claims namespace "secret"`},
	} {
		if err := w.refusal(t, node(c.id, c.ns, c.sa)); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "PermissionDenied") {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestAnonymousOnlyWhenAllowed(t *testing.T) {
	w := start(t, Options{Authenticator: fixed{}})
	w.publish(nil)
	if err := w.refusal(t, node(sidecar, "default", "alice")); err == nil || !strings.Contains(err.Error(), "Unauthenticated") {
		t.Error(err)
	}
	w = start(t, Options{Authenticator: fixed{}, AllowAnonymous: true})
	w.publish([]*xds.Resource{res(xds.Cluster, "a", "1")})
	r := newRecorder()
	w.connect(t, r, false, node(sidecar, "default", "bob"), func(c *client.Client) { c.Subscribe(xds.Cluster) })
	r.until(t, "served", func() bool { return r.holds(cds("a")) == "1" })
	for p := range w.server.Proxies() {
		if p.Identity.String() != "spiffe://cluster.local/ns/default/sa/bob" || p.Labels["app"] != "a" || !p.Can("vhds") || p.Addresses[0].String() != "10.0.0.1" {
			t.Errorf("%+v", p)
		}
	}
}

func TestOnlySubscribersHearOfAChange(t *testing.T) {
	s := New(Options{})
	mk := func() *conn {
		c := &conn{server: s, poke: make(chan struct{}, 1), names: map[xds.Name]struct{}{}, types: map[string]struct{}{}}
		s.join(c)
		return c
	}
	named, wild, none := mk(), mk(), mk()
	s.index(named, xds.Endpoints, outcome("a", "b"))
	s.index(wild, xds.Cluster, wildcard())
	tell := func(ns ...xds.Name) map[*conn]struct{} {
		grouped := map[string][]Change{}
		for _, n := range ns {
			grouped[n.TypeURL] = append(grouped[n.TypeURL], Change{Name: n})
		}
		return s.swap(&publication{}, grouped)
	}
	tell() // the first publication tells everybody
	for _, c := range []struct {
		names []xds.Name
		want  []*conn
	}{
		{[]xds.Name{eds("a")}, []*conn{named}},
		{[]xds.Name{eds("c")}, nil},
		{[]xds.Name{cds("x")}, []*conn{wild}},
		{[]xds.Name{eds("a"), cds("")}, []*conn{named, wild}},
	} {
		told := tell(c.names...)
		if len(told) != len(c.want) {
			t.Errorf("%v: %d were told", c.names, len(told))
		}
		for _, w := range c.want {
			if _, ok := told[w]; !ok {
				t.Errorf("%v: a subscriber was not told", c.names)
			}
		}
	}
	s.leave(named)
	s.leave(wild)
	s.leave(none)
	if len(s.byName) != 0 || len(s.byType) != 0 || len(s.conns) != 0 {
		t.Error("the index keeps streams that ended")
	}
}
