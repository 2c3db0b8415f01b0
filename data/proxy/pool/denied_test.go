package pool

import (
	"errors"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/dial"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
	"github.com/heddle-mesh/heddle/data/proxy/loop/sim"
	"github.com/heddle-mesh/heddle/data/proxy/stats"
	"github.com/heddle-mesh/heddle/data/proxy/tcp"
	"github.com/heddle-mesh/heddle/data/proxy/upstream"
)

// TestADeniedDestinationIsNotDialled for a TCP connection either, and the reason is given to whoever asked.
func TestADeniedDestinationIsNotDialled(t *testing.T) {
	at := netip.MustParseAddrPort("10.0.0.1:80")
	for why, want := range map[string]string{"": "", "nothing may be sent to web": "nothing_may_be_sent_to_web"} {
		s := sim.New(1)
		dialled := 0
		s.Listen(loop.TCP(at), func(c loop.Conn) { dialled++; c.SetHandler(&sim.Recorder{}) })
		set := upstream.NewSet(nil, slog.New(slog.DiscardHandler))
		limits := config.Thresholds{Connections: 1, Pending: 1, Requests: 1}
		if err := set.Update(map[string]*config.Cluster{"web": {
			Name: "web", Denied: why, ConnectTimeout: time.Second, Thresholds: [2]config.Thresholds{limits, limits},
			Endpoints: &config.Assignment{Localities: []config.Locality{{Endpoints: []*config.Endpoint{{Address: at, Weight: 1}}}}},
		}}); err != nil {
			t.Fatal(err)
		}
		registry := stats.New()
		w := New(s.Worker(), registry.NewShard(), registry, set, &dial.Dialer{})
		var got error
		s.At(0, func() {
			w.Connect(s.Worker(), &config.WeightedName{Name: "web"}, &loop.Origin{}, &config.TCP{}, func(u tcp.Upstream, err error) {
				if got = err; err == nil {
					u.Conn.SetHandler(&sim.Recorder{})
				}
			})
		})
		s.Run(time.Second)
		var f *tcp.Failure
		errors.As(got, &f)
		if why == "" && (got != nil || dialled != 1) || why != "" && (dialled != 0 || f == nil || f.Flag != "UH" || f.Reason != want || set.Cluster("web").Breaker(0).Count(upstream.Connections) != 0) {
			t.Errorf("%q: dialled %d times, %+v", why, dialled, got)
		}
	}
}
