package retry

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/config"
)

func TestResponse(t *testing.T) {
	tests := []struct {
		on     string
		status int
		field  string
		want   bool
	}{
		{"5xx", 500, "", true}, {"5xx", 499, "", false}, {"gateway-error", 500, "", false}, {"gateway-error", 502, "", true}, {"gateway-error", 505, "", false},
		{"retriable-4xx", 409, "", true}, {"retriable-4xx", 404, "", false}, {"retriable-status-codes", 418, "", true}, {"retriable-status-codes", 503, "", false},
		{"connect-failure", 503, "", false}, {"unavailable", 200, "14", true}, {"unavailable", 200, "13", false}, {"internal", 200, "13", true}, {"cancelled", 200, "1", true},
		{"", 503, "", false},
	}
	for _, tt := range tests {
		p := Of(&config.Retry{On: Parse([]byte(tt.on)), Codes: []int{418}})
		var h codec.Head
		h.Reset()
		h.Status = tt.status
		if tt.field != "" {
			h.AddString(codec.GRPCStatus, tt.field)
		}
		if got := p.Response(&h, nil); got != tt.want {
			t.Errorf("%s %d %s: %t", tt.on, tt.status, tt.field, got)
		}
		h.AddString(codec.EnvoyOverloaded, "true")
		if p.Response(&h, nil) {
			t.Errorf("%s %d: retried although overloaded", tt.on, tt.status)
		}
	}
}

func TestReset(t *testing.T) {
	tests := []struct {
		on     string
		reason codec.Reason
		began  bool
		want   bool
	}{
		{"connect-failure", codec.RemoteConnectionFailure, false, true}, {"connect-failure", codec.ConnectionTimeout, false, true},
		{"connect-failure", codec.ConnectionTermination, true, false}, {"reset", codec.ConnectionTermination, true, true}, {"5xx", codec.RemoteReset, true, true},
		{"5xx", codec.Overflow, false, false}, {"reset-before-request", codec.ConnectionTermination, true, false}, {"reset-before-request", codec.RemoteConnectionFailure, false, true},
		{"refused-stream, connect-failure", codec.LocalConnectionFailure, false, true}, {"unavailable", codec.ConnectionTermination, true, false},
	}
	for _, tt := range tests {
		p := Of(&config.Retry{On: Parse([]byte(tt.on))})
		if got := p.Reset(tt.reason, tt.began); got != tt.want {
			t.Errorf("%s %s: %t", tt.on, tt.reason, got)
		}
	}
}

func TestBackoffGrowsToItsBound(t *testing.T) {
	p := Of(&config.Retry{})
	r := rand.New(rand.NewPCG(1, 1))
	for n := 1; n < 80; n++ {
		bound := min(25*time.Millisecond<<min(n-1, 20), 250*time.Millisecond)
		top := time.Duration(0)
		for range 500 {
			d := p.Backoff(n, r.Uint64())
			if d < 0 || d >= bound {
				t.Fatalf("retry %d waits %s, the bound is %s", n, d, bound)
			}
			top = max(top, d)
		}
		if top < bound/2 {
			t.Errorf("retry %d waits %s at most, half of %s or more is expected", n, top, bound)
		}
	}
}
