package live

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/heddle-mesh/heddle/xds"
)

// TestWaitsAsLongAsItsSourcesSay: initial_fetch_timeout bounds the wait for what is missing, the longest counts, and 0 is for ever.
func replaced(s, wait string) string { return strings.Replace(s, "%", wait, 1) }

func TestWaitsAsLongAsItsSourcesSay(t *testing.T) {
	const tls = `, "transportSocket": {"name": "tls", "typedConfig": {"@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
	 "commonTlsContext": {"tlsCertificateSdsSecretConfigs": [{"name": "cert", "sdsConfig": {"ads": {}, "initialFetchTimeout": "%"}}]}}}`
	cluster := func(wait, more string) string {
		return `{"name": "c", "type": "EDS", "edsClusterConfig": {"edsConfig": {"ads": {}, "initialFetchTimeout": "` + wait + `"}}` + more + `}`
	}
	for _, c := range []struct {
		body  string
		after time.Duration // 0: never
	}{
		{cluster("3s", ""), 3 * time.Second},
		{cluster("0s", ""), 0},
		{cluster("3s", replaced(tls, "5s")), 5 * time.Second},
		{cluster("3s", replaced(tls, "0s")), 0},
		{`{"name": "c", "type": "EDS", "edsClusterConfig": {"edsConfig": {"ads": {}}}}`, 15 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := newPlane(t, Options{})
			follow(p)
			p.respond(xds.Cluster, resource(t, xds.Cluster, "c", c.body, &clusterv3.Cluster{}))
			p.waits(c.body, "", "c:0", c.after)
		})
	}
}

func TestAListenerWaitsAsLongAsItsSourcesSay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlane(t, Options{})
		follow(p)
		var m listenerv3.Listener
		if err := protojson.Unmarshal([]byte(replaced(`{"name": "l", "address": {"socketAddress": {"address": "127.0.0.1", "portValue": 1}}, "filterChains": [{"filters": [{"name": "hcm", "typedConfig": {
		 "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", "rds": {"routeConfigName": "r", "configSource": {"ads": {}, "initialFetchTimeout": "%"}},
		 "httpFilters": [{"name": "router", "typedConfig": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}]}}]}]}`, "4s")), &m); err != nil {
			t.Fatal(err)
		}
		x, err := xds.New(xds.Name{TypeURL: xds.Listener, Name: "l"}, &m)
		if err != nil {
			t.Fatal(err)
		}
		p.respond(xds.Cluster)
		p.respond(xds.Listener, x)
		p.waits("routes", "", "l", 4*time.Second)
	})
	synctest.Test(t, func(t *testing.T) {
		p := newPlane(t, Options{})
		follow(p)
		p.respond(xds.Cluster)
		p.respond(xds.Listener, p.listener("l", 1, "r"))
		p.respond(xds.Route, p.routes("r", `, "vhds": {"configSource": {"ads": {}, "initialFetchTimeout": "6s"}}`))
		p.waits("virtual hosts", "r/0", "l r/0", 6*time.Second)
	})
}

// TestTheFirstListenersComeTogether: the one that passes on what no other wants must not be there before those that want it. Later ones come by themselves.
func TestTheFirstListenersComeTogether(t *testing.T) {
	p := newPlane(t, Options{})
	follow(p)
	p.respond(xds.Listener, p.listener("all", 80, "any"))
	p.respond(xds.Route, p.routes("any", ""))
	p.expect("before a word about clusters", p.inForce(), "any/0")
	p.respond(xds.Cluster, p.cluster("c", ""))
	p.respond(xds.Listener, p.listener("some", 81, "r"))
	p.respond(xds.Endpoints, p.endpoints("c", 1))
	p.expect("before the routes of another", p.inForce(), "c:1 any/0")
	p.respond(xds.Route, p.routes("r", ""))
	p.expect("in force", p.inForce(), "all some c:1 any/0 r/0")
	p.respond(xds.Listener, p.listener("more", 82, "s"), p.listener("less", 83, "r"))
	p.expect("later", p.inForce(), "all less some c:1 any/0 r/0")
}

// TestReadinessWaitsAsLongAsTheBootstrapSays for the first answers about listeners and clusters.
func TestReadinessWaitsAsLongAsTheBootstrapSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlane(t, Options{})
		follow(p)
		p.l.Expect(xds.Listener, 3*time.Second)
		p.l.Expect(xds.Cluster, 0)
		time.Sleep(time.Hour)
		synctest.Wait()
		if p.l.Ready() {
			t.Error("ready without a word about clusters, which are waited for for ever")
		}
		p.respond(xds.Cluster)
		if !p.l.Ready() {
			t.Error("not ready although listeners were waited for long enough")
		}
	})
}

// waits checks that something comes into force after a time, 0 for never, and not a moment sooner.
func (p *plane) waits(what, before, want string, after time.Duration) {
	p.t.Helper()
	if after == 0 {
		time.Sleep(time.Hour)
		synctest.Wait()
		p.expect(what+": in force after an hour", p.inForce(), before)
		return
	}
	time.Sleep(after - time.Millisecond)
	synctest.Wait()
	p.expect(what+": in force too early", p.inForce(), before)
	time.Sleep(2 * time.Millisecond)
	synctest.Wait()
	p.expect(what+": in force", p.inForce(), want)
}
