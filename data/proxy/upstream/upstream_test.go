package upstream

import (
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
)

func endpoints(weights ...uint32) *config.Assignment {
	a := &config.Assignment{Localities: []config.Locality{{}}}
	for i, w := range weights {
		a.Localities[0].Endpoints = append(a.Localities[0].Endpoints, &config.Endpoint{Address: netip.MustParseAddrPort(fmt.Sprintf("10.0.0.%d:80", i+1)), Weight: w})
	}
	return a
}

func newSet(t *testing.T, def *config.Cluster) (*Set, *Cluster, *Chooser) {
	t.Helper()
	s := NewSet(nil, slog.New(slog.NewTextHandler(io.Discard, nil)))
	s.Now = func() time.Time { return time.Unix(1000, 0) }
	if err := s.Update(map[string]*config.Cluster{def.Name: def}); err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	return s, s.Cluster(def.Name), NewChooser(r.Uint64)
}

func spread(ch *Chooser, c *Cluster, n int) map[string]int {
	count := map[string]int{}
	for range n {
		if h := ch.Choose(c, Need{}); h != nil {
			count[h.Address.String()]++
		}
	}
	return count
}

func TestEveryPolicyUsesEveryEndpoint(t *testing.T) {
	for _, p := range []config.Policy{config.RoundRobin, config.LeastRequest, config.Random} {
		_, c, ch := newSet(t, &config.Cluster{Name: "c", Policy: p, Endpoints: endpoints(1, 1, 1)})
		got := spread(ch, c, 3000)
		for a, n := range got {
			if n < 850 || n > 1150 {
				t.Errorf("policy %d: %s got %d of 3000", p, a, n)
			}
		}
		if len(got) != 3 {
			t.Errorf("policy %d used %v", p, got)
		}
	}
}

// TestAHashKeepsToOneEndpoint: the same hash gives the same endpoint whatever else is chosen, no hash gives any, and an endpoint that goes hands on its own requests alone.
func TestAHashKeepsToOneEndpoint(t *testing.T) {
	for _, p := range []config.Policy{config.RingHash, config.Maglev} {
		def := &config.Cluster{Name: "c", Policy: p, Endpoints: endpoints(1, 1, 1, 1), RingMin: 1024, RingMax: 1 << 20, MaglevSize: 1009, Panic: 50}
		_, c, ch := newSet(t, def)
		if got := spread(ch, c, 1000); len(got) != 4 {
			t.Errorf("policy %d without a hash used %v", p, got)
		}
		at := map[uint64]*Host{}
		for h := range uint64(50) {
			n := Need{Hash: h * 0x9e3779b97f4a7c15, Hashed: true}
			at[h] = ch.Choose(c, n)
			if again := ch.Choose(c, n); again != at[h] {
				t.Errorf("policy %d: hash %d gave %s, then %s", p, h, at[h].Address, again.Address)
			}
			n.Avoid, n.Attempts = func(x *Host) bool { return x == at[h] }, 50
			if other := ch.Choose(c, n); other == at[h] {
				t.Errorf("policy %d: a retry of hash %d went to the same endpoint", p, h)
			}
		}
		gone := at[0]
		c.mu.Lock()
		gone.ejected.Store(true)
		c.remake()
		c.mu.Unlock()
		moved := 0
		for h := range uint64(50) {
			now := ch.Choose(c, Need{Hash: h * 0x9e3779b97f4a7c15, Hashed: true})
			if now == gone {
				t.Errorf("policy %d: hash %d still goes to the ejected endpoint", p, h)
			}
			if now != at[h] && at[h] != gone {
				moved++
			}
		}
		if moved > 10 {
			t.Errorf("policy %d: %d of 50 hashes left an endpoint that stayed", p, moved)
		}
	}
}

func TestUnhealthyEndpointsAreLeftOutUntilPanic(t *testing.T) {
	a := endpoints(1, 1, 1, 1)
	a.Localities[0].Endpoints[0].Health = config.Unhealthy
	_, c, ch := newSet(t, &config.Cluster{Name: "c", Endpoints: a, Panic: 50})
	if got := spread(ch, c, 100); got["10.0.0.1:80"] != 0 || len(got) != 3 {
		t.Errorf("with one of four unhealthy: %v", got)
	}
	for i := range 3 {
		a.Localities[0].Endpoints[i].Health = config.Unhealthy
	}
	_, c, ch = newSet(t, &config.Cluster{Name: "c", Endpoints: a, Panic: 50})
	if got := spread(ch, c, 100); len(got) != 4 {
		t.Errorf("in panic all are used: %v", got)
	}
	_, c, ch = newSet(t, &config.Cluster{Name: "c", Endpoints: a})
	if got := spread(ch, c, 100); len(got) != 1 {
		t.Errorf("without a panic threshold only the healthy one is used: %v", got)
	}
}

func TestPriorities(t *testing.T) {
	a := endpoints(1)
	second := endpoints(1, 1).Localities[0]
	second.Priority = 1
	second.Endpoints = second.Endpoints[1:]
	a.Localities = append(a.Localities, second)
	_, c, ch := newSet(t, &config.Cluster{Name: "c", Endpoints: a})
	if got := spread(ch, c, 100); got["10.0.0.2:80"] != 0 {
		t.Errorf("the second priority was used: %v", got)
	}
	a.Localities[0].Endpoints[0].Health = config.Unhealthy
	_, c, ch = newSet(t, &config.Cluster{Name: "c", Endpoints: a})
	if got := spread(ch, c, 100); got["10.0.0.2:80"] != 100 {
		t.Errorf("the second priority must take over: %v", got)
	}
}

func TestUpdateKeepsStateAndMarksWhatIsGone(t *testing.T) {
	def := &config.Cluster{Name: "c", Version: "1", Endpoints: endpoints(1, 1)}
	s, c, _ := newSet(t, def)
	first := c.Hosts()
	next := *def
	next.Endpoints = endpoints(1)
	if err := s.Update(map[string]*config.Cluster{"c": &next}); err != nil {
		t.Fatal(err)
	}
	if s.Cluster("c") != c || c.Hosts()[0] != first[0] || first[0].Gone() || !first[1].Gone() {
		t.Errorf("after a change of endpoints: same cluster %v, same host %v, gone %v %v", s.Cluster("c") == c, c.Hosts()[0] == first[0], first[0].Gone(), first[1].Gone())
	}
	limits := &config.Thresholds{Requests: 1}
	if !c.Breaker(0).Take(Requests, limits) {
		t.Fatal("the first request was not taken")
	}
	changed := next
	changed.Version = "2"
	if err := s.Update(map[string]*config.Cluster{"c": &changed}); err != nil {
		t.Fatal(err)
	}
	if s.Cluster("c") == c || !first[0].Gone() {
		t.Error("a new definition must make a new cluster and let the old endpoints go")
	}
	if s.Cluster("c").Breaker(0).Take(Requests, limits) {
		t.Error("the breaker forgot what is in flight")
	}
}

func TestOutlierDetection(t *testing.T) {
	def := &config.Cluster{Name: "c", Endpoints: endpoints(1, 1), Outlier: &config.Outlier{Consecutive5xx: 3, Enforce5xx: 100, BaseEjection: time.Second, MaxEjection: time.Minute, MaxEjectionPercent: 50}}
	s, c, ch := newSet(t, def)
	bad, good, now := c.Hosts()[0], c.Hosts()[1], time.Unix(1000, 0)
	bad.Report(ServerError, now, 0)
	bad.Report(Success, now, 0)
	bad.Report(ServerError, now, 0)
	bad.Report(GatewayError, now, 0)
	if bad.Ejected() {
		t.Fatal("ejected before three in a row")
	}
	bad.Report(LocalFailure, now, 0)
	if !bad.Ejected() {
		t.Fatal("not ejected after three in a row")
	}
	for range 5 {
		good.Report(ServerError, now, 0)
	}
	if good.Ejected() {
		t.Error("more than half was ejected")
	}
	if got := spread(ch, c, 50); got[bad.Address.String()] != 0 {
		t.Errorf("an ejected endpoint was chosen: %v", got)
	}
	s.Sweep(now.Add(900 * time.Millisecond))
	if !bad.Ejected() {
		t.Error("taken back too early")
	}
	s.Sweep(now.Add(time.Second))
	if bad.Ejected() {
		t.Error("not taken back")
	}
}

func TestBreaker(t *testing.T) {
	var b Breaker
	limits := &config.Thresholds{Requests: 2, Budget: true, BudgetPercent: 50, BudgetMin: 1}
	for i, want := range []bool{true, true, false} {
		if b.Take(Requests, limits) != want {
			t.Errorf("take %d: the limit is two", i+1)
		}
	}
	if !b.Take(Retries, limits) || b.Take(Retries, limits) {
		t.Error("half of two requests is one retry")
	}
	b.Give(Requests)
	if b.Count(Requests) != 1 {
		t.Errorf("%d in flight", b.Count(Requests))
	}
}

func TestOriginalDestination(t *testing.T) {
	_, c, ch := newSet(t, &config.Cluster{Name: "p", Type: config.OriginalDst, Policy: config.ClusterProvided})
	to := loop.TCP(netip.MustParseAddrPort("192.0.2.1:443"))
	h := ch.Choose(c, Need{Original: to})
	if h == nil || h.Address != to || ch.Choose(c, Need{Original: to}) != h || ch.Choose(c, Need{}) != nil {
		t.Errorf("original destination: %+v", h)
	}
}

func TestAvoid(t *testing.T) {
	_, c, ch := newSet(t, &config.Cluster{Name: "c", Policy: config.RoundRobin, Endpoints: endpoints(1, 1)})
	tried := ch.Choose(c, Need{})
	for range 20 {
		if h := ch.Choose(c, Need{Avoid: func(h *Host) bool { return h == tried }, Attempts: 5}); h == tried {
			t.Fatal("the endpoint that was tried is chosen again")
		}
	}
}

func TestChooseAllocatesNothing(t *testing.T) {
	_, c, ch := newSet(t, &config.Cluster{Name: "c", Policy: config.LeastRequest, Endpoints: endpoints(1, 2, 3)})
	if n := testing.AllocsPerRun(100, func() { ch.Choose(c, Need{}) }); n > 0 {
		t.Errorf("%v allocations a choice, want 0", n)
	}
}
