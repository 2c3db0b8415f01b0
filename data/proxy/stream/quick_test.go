package stream_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
)

// TestPeakEWMALeavesASlowEndpoint: of three endpoints one takes ten times as long for five seconds. Peak EWMA sends it hardly anything meanwhile, and its share again when it
// has recovered; round robin and least request go on asking it. The seed is the same for all.
func TestPeakEWMALeavesASlowEndpoint(t *testing.T) {
	run := func(policy config.Policy) (late, after int) {
		c := cluster("a", "10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80")
		c.Policy, c.ChoiceCount, c.Quickness = policy, 2, config.Quickness{Decay: time.Second, Unknown: 10 * time.Millisecond}
		w := newWorld(t, 7, plain(), to("a", nil), c)
		start := w.sim.Now()
		age := func() time.Duration { return w.sim.Now().Sub(start) }
		for i, address := range []string{"10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"} {
			w.sim.Listen(loop.TCP(netip.MustParseAddrPort(address)), func(c loop.Conn) {
				c.SetHandler(&scripted{c: c, data: func([]byte) {
					takes := 10 * time.Millisecond
					switch {
					case i == 2 && age() > 2*time.Second && age() < 7*time.Second:
						takes *= 10
						late++
					case i == 2 && age() > 15*time.Second:
						after++
					}
					w.sim.At(takes, func() { c.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")) })
				}})
			})
		}
		for range 8 { // clients that ask again at once
			a, b := w.sim.Pipe()
			ask := func([]byte) { a.Write([]byte("GET / HTTP/1.1\r\nHost: h\r\n\r\n")) }
			a.SetHandler(&scripted{c: a, data: ask})
			w.worker.Serve(w.manager, b)
			ask(nil)
		}
		w.sim.Run(20 * time.Second)
		return late, after
	}
	late, after := run(config.PeakEWMA)
	around, _ := run(config.RoundRobin)
	least, _ := run(config.LeastRequest)
	t.Logf("requests that met the slow endpoint: peak EWMA %d, least request %d, round robin %d; its share after: %d", late, least, around, after)
	if late*4 > least || late*4 > around {
		t.Errorf("%d requests met the slow endpoint, %d of least request and %d of round robin", late, least, around)
	}
	if after < 800 {
		t.Errorf("after it has recovered it got %d requests in five seconds, its share is 1,333", after)
	}
}

// TestALongBodyIsNotALateAnswer: a client that leaves in the middle of a long response says nothing of how soon the endpoint answers.
func TestALongBodyIsNotALateAnswer(t *testing.T) {
	c := cluster("a", "10.0.0.1:80", "10.0.0.2:80")
	c.Policy, c.Quickness = config.PeakEWMA, config.Quickness{Decay: time.Hour, Unknown: time.Millisecond}
	w := newWorld(t, 3, plain(), to("a", nil), c)
	asked := map[int]int{}
	for i, address := range []string{"10.0.0.1:80", "10.0.0.2:80"} {
		w.sim.Listen(loop.TCP(netip.MustParseAddrPort(address)), func(c loop.Conn) {
			c.SetHandler(&scripted{c: c, data: func([]byte) {
				asked[i]++
				w.sim.At(time.Duration(1+20*i)*time.Millisecond, func() { c.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart")) })
			}})
		})
	}
	for range 40 {
		c := w.connect()
		c.c.Write([]byte("GET / HTTP/1.1\r\nHost: h\r\n\r\n"))
		w.sim.Run(30 * time.Second)
		c.c.Close()
		w.sim.Run(10 * time.Millisecond)
	}
	if asked[0] < 30 {
		t.Errorf("the one that answers after 1 ms and the one that does after 21 were asked %v times", asked)
	}
}
