package health

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/upstream"
)

const at, other = "10.0.0.1:80", "10.0.0.2:80"

// TestWhatIsAsked: the request of a check over HTTP, with everything that may be asked for.
func TestWhatIsAsked(t *testing.T) {
	w := newWorld(t, 1)
	s := w.serve("10.0.0.1:81", status(200))
	def := cluster(http(func(h *config.HTTPCheck) {
		h.Method, h.Send, h.Host = "POST", []byte("ping"), "of-the-check"
		h.Headers = config.HeaderEdits{Request: []config.HeaderSet{{Name: "x-a", Value: "b"}}, RequestRemove: []string{"user-agent"}}
	}), at)
	def.Endpoints.Localities[0].Endpoints[0].Check = &config.EndpointCheck{Port: 81, Hostname: "of-the-endpoint"}
	w.apply(def)
	w.sim.Run(300 * time.Millisecond)
	want := "POST /healthz HTTP/1.1\r\nhost: of-the-endpoint\r\ncontent-length: 4\r\nx-a: b\r\n\r\n"
	if got := strings.Join(s.asked, ""); !strings.HasPrefix(got, want) || !strings.HasSuffix(got, "ping") {
		t.Errorf("asked %q, want %q and the body", got, want)
	}
}

// TestAnswersOverHTTP: what the first answer makes of an endpoint.
func TestAnswersOverHTTP(t *testing.T) {
	const fails = upstream.CheckFailed
	exactly := func(v string) func(*config.HTTPCheck) {
		return func(h *config.HTTPCheck) { h.Service = &config.StringMatch{Value: v} }
	}
	for name, tt := range map[string]struct {
		edit   func(*config.HTTPCheck)
		answer func(string) string
		want   upstream.Checked
	}{
		"200":                    {nil, status(200), 0},
		"204":                    {nil, status(204), fails},
		"503":                    {nil, status(503), fails},
		"an expected status":     {func(h *config.HTTPCheck) { h.Expected = []config.StatusRange{{From: 500, To: 504}} }, status(503), 0},
		"the end of a range":     {func(h *config.HTTPCheck) { h.Expected = []config.StatusRange{{From: 500, To: 503}} }, status(503), fails},
		"the body as wanted":     {func(h *config.HTTPCheck) { h.Receive = [][]byte{[]byte("o"), []byte("k")} }, status(200), 0},
		"another body":           {func(h *config.HTTPCheck) { h.Receive = [][]byte{[]byte("no")} }, status(200), fails},
		"too far behind":         {func(h *config.HTTPCheck) { h.Receive, h.ReceiveLimit = [][]byte{[]byte("k")}, 1 }, status(200), fails},
		"the whole body":         {func(h *config.HTTPCheck) { h.Receive, h.ReceiveLimit = [][]byte{[]byte("k")}, 0 }, status(200), 0},
		"the right service":      {exactly("web"), status(200, "x-envoy-upstream-healthchecked-cluster: web\r\n"), 0},
		"another service":        {exactly("web"), status(200, "x-envoy-upstream-healthchecked-cluster: shop\r\n"), fails},
		"no service":             {exactly("web"), status(200), fails},
		"degraded":               {nil, status(200, "x-envoy-degraded: true\r\n"), upstream.CheckDegraded},
		"wants to be left":       {nil, status(503, "x-envoy-immediate-health-check-fail: true\r\n"), fails | upstream.CheckExcluded},
		"well, whatever it says": {nil, status(200, "x-envoy-immediate-health-check-fail: true\r\n"), 0},
		"reset":                  {nil, func(string) string { return "RESET" }, fails},
		"closed":                 {nil, func(string) string { return "CLOSE" }, fails},
		"nonsense":               {nil, func(string) string { return "SSH-2.0-x\r\n\r\n" }, fails},
		"silence":                {nil, func(string) string { return "" }, fails | upstream.CheckTimeout},
	} {
		w := newWorld(t, 7)
		w.serve(at, tt.answer)
		w.apply(cluster(http(tt.edit), at))
		w.sim.Run(700 * time.Millisecond)
		if got := w.state(0); got != tt.want {
			t.Errorf("%s: the state is %b, want %b", name, got, tt.want)
		}
		if w.checked != 1 || w.set.Cluster("web").Unchecked() {
			t.Errorf("%s: the end of the first checks was told %d times", name, w.checked)
		}
	}
}

func TestNobodyListens(t *testing.T) {
	w := newWorld(t, 1)
	w.apply(cluster(http(nil), at))
	w.sim.Run(200 * time.Millisecond)
	if w.state(0) != upstream.CheckFailed || w.count("failure") != 1 || w.count("network_failure") != 1 || w.count("attempt") != 1 {
		t.Errorf("state %b, %d attempts, %d failures, %d of them in the network", w.state(0), w.count("attempt"), w.count("failure"), w.count("network_failure"))
	}
}

// TestConnectionsAreUsedAgain, unless that is not wanted.
func TestConnectionsAreUsedAgain(t *testing.T) {
	for _, reuse := range []bool{true, false} {
		w := newWorld(t, 3)
		s := w.serve(at, status(200))
		k := http(nil)
		k.Reuse = reuse
		w.apply(cluster(k, at))
		w.sim.Run(4500 * time.Millisecond)
		if want := map[bool]int{true: 1, false: 5}[reuse]; s.conns != want || len(s.asked) != 5 {
			t.Errorf("reuse %v: %d checks over %d connections, want 5 over %d", reuse, len(s.asked), s.conns, want)
		}
		if want := map[bool]int{true: 1, false: 0}[reuse]; len(s.open) != want {
			t.Errorf("reuse %v: %d connections are open between two checks", reuse, len(s.open))
		}
	}
}

func TestTCP(t *testing.T) {
	const fails = upstream.CheckFailed
	ping := &config.TCPCheck{Send: []byte("ping"), Receive: [][]byte{[]byte("po"), []byte("ng")}}
	for name, tt := range map[string]struct {
		check  *config.TCPCheck
		answer func(string) string
		want   upstream.Checked
	}{
		"connects":     {&config.TCPCheck{}, func(string) string { return "" }, 0},
		"answers":      {ping, func(string) string { return "po..ng" }, 0},
		"says no":      {ping, func(string) string { return "no" }, fails | upstream.CheckTimeout},
		"says nothing": {ping, func(string) string { return "" }, fails | upstream.CheckTimeout},
		"hangs up":     {ping, func(string) string { return "CLOSE" }, fails},
	} {
		w := newWorld(t, 5)
		w.serve(at, tt.answer)
		w.apply(cluster(&config.HealthCheck{TCP: tt.check, Reuse: true}, at))
		w.sim.Run(700 * time.Millisecond)
		if got := w.state(0); got != tt.want {
			t.Errorf("%s: the state is %b, want %b", name, got, tt.want)
		}
	}
	w := newWorld(t, 5)
	w.apply(cluster(&config.HealthCheck{TCP: &config.TCPCheck{}}, at))
	w.sim.Run(100 * time.Millisecond)
	if w.state(0) != fails {
		t.Errorf("nobody listens: the state is %b", w.state(0))
	}
}

// TestLostBetweenChecks: a connection of a TCP check that ends while it rests is a failure, and the next check makes another one.
func TestLostBetweenChecks(t *testing.T) {
	w := newWorld(t, 5)
	s := w.serve(at, func(string) string { return "pong" })
	w.apply(cluster(&config.HealthCheck{TCP: &config.TCPCheck{Send: []byte("ping"), Receive: [][]byte{[]byte("pong")}}, Reuse: true}, at))
	w.sim.Run(200 * time.Millisecond)
	for c := range s.open {
		c.Close()
	}
	w.sim.Run(200 * time.Millisecond)
	if w.state(0) != upstream.CheckFailed {
		t.Errorf("the state is %b", w.state(0))
	}
	w.sim.Run(1200 * time.Millisecond)
	if w.state(0) != 0 || s.conns != 2 {
		t.Errorf("the state is %b after %d connections", w.state(0), s.conns)
	}
}

// TestRemovedEndpointsStay as long as their checks pass, unless the cluster does not want that.
func TestRemovedEndpointsStay(t *testing.T) {
	for _, ignore := range []bool{false, true} {
		w := newWorld(t, 9)
		well := true
		w.serve(at, status(200))
		w.serve(other, func(g string) string { return status(map[bool]int{true: 200, false: 503}[well])(g) })
		both := cluster(http(nil), at, other)
		both.IgnoreHealthOnRemoval = ignore
		w.apply(both)
		w.sim.Run(500 * time.Millisecond)
		one := *both
		one.Endpoints = cluster(http(nil), at).Endpoints
		w.apply(&one)
		w.sim.Run(2 * time.Second)
		hosts := w.set.Cluster("web").Hosts()
		if want := map[bool]int{false: 2, true: 1}[ignore]; len(hosts) != want || w.prober.Sessions() != want {
			t.Fatalf("ignore %v: %d endpoints and %d sessions, want %d", ignore, len(hosts), w.prober.Sessions(), want)
		}
		if ignore {
			continue
		}
		gone := hosts[1]
		if !gone.Removed() || gone.Gone() {
			t.Errorf("removed %v, gone %v", gone.Removed(), gone.Gone())
		}
		well = false
		w.sim.Run(2 * time.Second)
		if n := len(w.set.Cluster("web").Hosts()); n != 1 || !gone.Gone() || w.prober.Sessions() != 1 {
			t.Errorf("after the first failure: %d endpoints, gone %v, %d sessions", n, gone.Gone(), w.prober.Sessions())
		}
	}
}

// TestDefinedAnew: endpoints that served before go on until a check says otherwise, and their state is not lost.
func TestDefinedAnew(t *testing.T) {
	w := newWorld(t, 2)
	w.serve(at, status(200))
	plain := cluster(http(nil), at, other)
	k := plain.Check
	plain.Check = nil
	w.apply(plain)
	w.sim.Run(time.Second)
	withCheck := *plain
	withCheck.Check, withCheck.Version = k, "2"
	w.apply(&withCheck)
	if w.state(0) != 0 || w.state(1) != 0 {
		t.Errorf("before the first check the states are %b and %b", w.state(0), w.state(1))
	}
	w.sim.Run(100 * time.Millisecond)
	if w.state(0) != 0 || w.state(1) != upstream.CheckFailed {
		t.Errorf("after the first check the states are %b and %b", w.state(0), w.state(1))
	}
	again := withCheck
	again.Version = "3"
	w.apply(&again)
	if w.state(1) != upstream.CheckFailed {
		t.Errorf("defined anew the state is %b", w.state(1))
	}
}

// TestAResponseMayAskToBeLeft: an endpoint that says so in a response to a request is out at once and does not count, until its checks pass again.
func TestAResponseMayAskToBeLeft(t *testing.T) {
	w := newWorld(t, 4)
	w.serve(at, status(200))
	w.apply(cluster(http(nil), at))
	w.sim.Run(200 * time.Millisecond)
	h := w.set.Cluster("web").Hosts()[0]
	w.prober.Fail(h)
	if h.Checked() != upstream.CheckFailed|upstream.CheckExcluded || w.count("passive_failure") != 1 || w.count("failure") != 1 || w.count("healthy") != 0 {
		t.Errorf("the state is %b, %d passive failures of %d", h.Checked(), w.count("passive_failure"), w.count("failure"))
	}
	w.sim.Run(time.Second)
	if h.Checked() != 0 || w.count("healthy") != 1 {
		t.Errorf("after the next check the state is %b", h.Checked())
	}
	w.apply()
	w.sim.Run(time.Second)
	w.prober.Fail(h) // it is gone
	if w.count("passive_failure") != 1 {
		t.Error("an endpoint that is gone was failed")
	}
}

// TestSchedules: servers that flap, stay silent and go, endpoints that come and go, over many seeds. At the end nothing is left: no timer, no connection, no session, and
// no check was counted twice.
func TestSchedules(t *testing.T) {
	kinds := []func() *config.HealthCheck{
		func() *config.HealthCheck { return http(nil) },
		func() *config.HealthCheck { k := http(nil); k.Reuse = false; k.Unhealthy = 2; return k },
		func() *config.HealthCheck { return &config.HealthCheck{TCP: &config.TCPCheck{}} },
		func() *config.HealthCheck {
			return &config.HealthCheck{TCP: &config.TCPCheck{Send: []byte("x"), Receive: [][]byte{[]byte("ok")}}, Reuse: true, InitialJitter: time.Second}
		},
		func() *config.HealthCheck { return &config.HealthCheck{GRPC: &config.GRPCCheck{}, Reuse: true} },
	}
	for seed := range uint64(150) {
		w, r := newWorld(t, seed), rand.New(rand.NewPCG(seed, 3))
		answers := []func(string) string{
			status(200), status(503), status(200, "connection: close\r\n"), func(string) string { return "" }, func(string) string { return "RESET" }, func(string) string { return "CLOSE" },
			func(string) string { return "\x00\x00\x00\x04\x00\x00\x00\x00\x00" }, // SETTINGS
		}
		var addresses []string
		for i := range 6 {
			a := fmt.Sprintf("10.0.0.%d:80", i+1)
			addresses = append(addresses, a)
			w.serve(a, func(g string) string { return answers[r.IntN(len(answers))](g) })
		}
		kind := kinds[seed%uint64(len(kinds))]
		for version := range 12 {
			r.Shuffle(len(addresses), func(i, j int) { addresses[i], addresses[j] = addresses[j], addresses[i] })
			def := cluster(kind(), addresses[:r.IntN(len(addresses)+1)]...)
			def.IgnoreHealthOnRemoval = r.IntN(2) == 0
			def.Version = fmt.Sprint(version / 3)
			w.apply(def)
			w.sim.Run(time.Duration(r.IntN(3000)) * time.Millisecond)
		}
		attempts, ended := w.count("attempt"), w.count("success")+w.count("failure")
		if attempts == 0 || ended == 0 || seed%uint64(len(kinds)) != 3 && ended > attempts { // a connection that is lost between two checks is a failure without an attempt
			t.Fatalf("seed %d: %d attempts, %d ended", seed, attempts, ended)
		}
		w.apply()
		w.sim.Run(10 * time.Second)
		w.apply() // what had connections is forgotten when they have ended
		w.sim.Run(time.Second)
		open := 0
		for _, s := range w.servers {
			open += len(s.open)
		}
		if n := w.sim.Worker().Timers(); n != 0 || open != 0 || w.sim.Worker().Load() != 0 || w.prober.Sessions() != 0 || w.prober.pools.Clusters() != 0 {
			t.Fatalf("seed %d: %d timers, %d connections at servers, %d at the worker, %d sessions, %d pools are left", seed, n, open, w.sim.Worker().Load(), w.prober.Sessions(), w.prober.pools.Clusters())
		}
		if w.count("healthy") != 0 || w.count("degraded") != 0 {
			t.Fatalf("seed %d: %d healthy and %d degraded are counted of none", seed, w.count("healthy"), w.count("degraded"))
		}
	}
}
