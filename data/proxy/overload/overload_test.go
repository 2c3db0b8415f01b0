package overload

import (
	"testing"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/stats"
)

func TestState(t *testing.T) {
	at := func(low, high float64) []config.OverloadTrigger {
		return []config.OverloadTrigger{{Resource: config.Connections, Low: low, High: high}}
	}
	for _, tt := range []struct {
		triggers []config.OverloadTrigger
		p, want  float64
	}{
		{at(0.5, 0.5), 0.49, 0}, {at(0.5, 0.5), 0.5, 1}, {at(0.5, 0.5), 2, 1}, {at(0.5, 0.9), 0.5, 0}, {at(0.5, 0.9), 0.7, 0.5}, {at(0.5, 0.9), 0.9, 1},
		{append(at(0.9, 0.9), at(0.5, 1)...), 0.75, 0.5}, {append(at(0.9, 0.9), at(0.5, 1)...), 0.9, 1}, {nil, 1, 0},
	} {
		if got := state(tt.triggers, [2]float64{0, tt.p}); got < tt.want-1e-9 || got > tt.want+1e-9 {
			t.Errorf("%v at %v: %v, want %v", tt.triggers, tt.p, got, tt.want)
		}
	}
}

// TestLook: what is open decides, and what was given up comes back.
func TestLook(t *testing.T) {
	on := func(k config.OverloadKind, low, high float64) config.OverloadAction {
		return config.OverloadAction{Kind: k, Triggers: []config.OverloadTrigger{{Resource: config.Connections, Low: low, High: high}}}
	}
	open, relieved := 0, 0
	var accepting []bool
	r := stats.New()
	m := New(&config.Overload{Refresh: time.Second, MaxConnections: 10, Actions: []config.OverloadAction{
		on(config.StopRequests, 0.5, 0.9), on(config.StopConnections, 0.9, 0.9), on(config.ResetStreams, 1, 1),
	}}, Hooks{Connections: func() int { return open }, Accept: func(on bool) { accepting = append(accepting, on) }, Relieve: func() { relieved++ }}, r)
	gauges := func() map[string]int64 {
		out := map[string]int64{}
		for _, s := range r.Snapshot() {
			out[s.Dotted] = s.Gauge
		}
		return out
	}
	share := func() (n int) {
		for i := range uint64(1000) {
			if m.Hits(config.StopRequests, i*1000) {
				n++
			}
		}
		return n
	}
	const stop, pressure = "overload.envoy.overload_actions.stop_accepting_requests", "overload.envoy.resource_monitors.global_downstream_max_connections.pressure"
	for _, tt := range []struct {
		open, share, relieved  int
		percent, active, scale int64
		accepting              int
		full                   bool
	}{{0, 0, 0, 0, 0, 0, 0, false}, {7, 500, 0, 70, 0, 50, 0, false}, {9, 1000, 0, 90, 1, 100, 1, false}, {10, 1000, 1, 100, 1, 100, 1, true}, {2, 0, 1, 20, 0, 0, 2, false}} {
		open = tt.open
		m.look()
		g := gauges()
		if share() != tt.share || relieved != tt.relieved || g[pressure] != tt.percent || g[stop+".active"] != tt.active || g[stop+".scale_percent"] != tt.scale || len(accepting) != tt.accepting || m.Full() != tt.full {
			t.Errorf("%d open: %d of 1000 requests, relieved %d times, accepting %v, full %t, %v", tt.open, share(), relieved, accepting, m.Full(), g)
		}
	}
	var none *State
	if none.Hits(config.StopRequests, 0) || m.Hits(config.DisableKeepAlive, 0) {
		t.Error("an action that is not configured is in force")
	}
}
