package live

import (
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"

	"github.com/heddle-mesh/heddle/xds"
)

// TestNamesAreLookedUpAsOftenAsTheyHold where the cluster says so (respect_dns_ttl); else, or when the answer does not tell, as often as the cluster says.
func TestNamesAreLookedUpAsOftenAsTheyHold(t *testing.T) {
	for _, c := range []struct {
		respect bool
		ttl     time.Duration
		want    time.Duration
	}{{true, 30 * time.Second, 30 * time.Second}, {true, 2 * time.Second, 2 * time.Second}, {true, 0, 10 * time.Second}, {false, 30 * time.Second, 10 * time.Second}, {true, time.Millisecond, time.Second}} {
		synctest.Test(t, func(t *testing.T) {
			first, second := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
			b := &book{m: map[string][]netip.Addr{"web": {first}}, ttl: c.ttl}
			p := newPlane(t, Options{Resolve: b})
			follow(p)
			p.respond(xds.Cluster, resource(t, xds.Cluster, "d", fmt.Sprintf(`{"name": "d", "type": "STRICT_DNS", "dnsRefreshRate": "10s", "respectDnsTtl": %t, "loadAssignment": {"clusterName": "d", "endpoints": [{"lbEndpoints": [
			 {"endpoint": {"address": {"socketAddress": {"address": "web", "portValue": 80}}}}]}]}}`, c.respect), &clusterv3.Cluster{}))
			synctest.Wait()
			b.mu.Lock()
			b.m["web"] = []netip.Addr{first, second}
			b.mu.Unlock()
			time.Sleep(c.want*9/10 - time.Millisecond) // a tenth is left to chance
			synctest.Wait()
			p.expect("in force too early", p.inForce(), "d:1")
			time.Sleep(c.want/10 + 2*time.Millisecond)
			synctest.Wait()
			p.expect(fmt.Sprintf("in force (%+v)", c), p.inForce(), "d:2")
			p.l.Close()
		})
	}
}
