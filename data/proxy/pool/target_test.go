package pool

import (
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/upstream"
)

// TestTargetTakesTheClustersSettings: the source address is that of the endpoint's family, and TCP keepalive comes with all it has.
func TestTargetTakesTheClustersSettings(t *testing.T) {
	at := func(s string) *config.Endpoint {
		return &config.Endpoint{Address: netip.MustParseAddrPort(s), Weight: 1}
	}
	def := &config.Cluster{
		Name: "a", ConnectTimeout: 7 * time.Second, Bind: netip.MustParseAddr("127.0.0.6"), BindOther: netip.MustParseAddr("::6"),
		Keepalive: config.Keepalive{Time: time.Minute, Interval: 5 * time.Second, Probes: 4},
		Endpoints: &config.Assignment{Localities: []config.Locality{{Endpoints: []*config.Endpoint{at("10.0.0.1:80"), at("[fd00::1]:80"), {Path: "/run/x.sock", Weight: 1}}}}},
	}
	set := upstream.NewSet(nil, slog.New(slog.DiscardHandler))
	if err := set.Update(map[string]*config.Cluster{"a": def}); err != nil {
		t.Fatal(err)
	}
	want := []string{"127.0.0.6:0", "[::6]:0", ""}
	for i, h := range set.Cluster("a").Hosts() {
		x := Target(h, "sni")
		if x.Bind.String() != want[i] || x.Keepalive != time.Minute || x.KeepaliveInterval != 5*time.Second || x.KeepaliveProbes != 4 || x.ConnectTimeout != 7*time.Second || x.SNI != "sni" || x.Addr != h.Address {
			t.Errorf("%s: %+v", h.Address, x)
		}
	}
}
