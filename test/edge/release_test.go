package edge

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/heddle-mesh/heddle/test/pair"
)

// TestBurstLeavesNoOverload: a burst opens so many connections to a TLS upstream that a proxy with little memory is in overload while they rest, with nobody to serve. It lets them go long before they time out,
// and serves as before.
func TestBurstLeavesNoOverload(t *testing.T) {
	const limit, burst = 26 << 20, 380
	all := make(chan struct{})
	var waiting sync.WaitGroup
	waiting.Add(burst)
	app := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wait" {
			waiting.Done()
			<-all
		}
		_, _ = w.Write(make([]byte, 48<<10)) // so that each connection has buffers of a full record
	}))
	app.Config.ErrorLog = log.New(io.Discard, "", 0) // it tells of connections that the proxy gives up
	app.StartTLS()
	defer app.Close()
	_, port, err := net.SplitHostPort(app.Listener.Addr().String())
	must(t, err)
	p := pair.StartProcess(t, file{cluster: `
transport_socket:
  name: tls
  typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext}
circuit_breakers: {thresholds: [{max_connections: 2000, max_pending_requests: 2000, max_requests: 2000}]}`}.text(), map[string]string{"app": port}, "--memory-limit", strconv.Itoa(limit))
	var clients sync.WaitGroup
	for range burst {
		clients.Go(func() {
			c, err := net.Dial("tcp", p.Address("front"))
			if err != nil {
				waiting.Done()
				return
			}
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(30 * time.Second))
			fmt.Fprint(c, "GET /wait HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
			_, _ = io.ReadAll(c) // some are refused, as they should be
		})
	}
	burstIn := make(chan struct{})
	go func() { waiting.Wait(); close(burstIn) }()
	select {
	case <-burstIn:
	case <-time.After(15 * time.Second): // some were refused
	}
	close(all)
	clients.Wait()
	highest := int64(0)
	for range 20 { // a measurement comes every 250 ms
		n, err := p.Stat("overload.envoy.resource_monitors.fixed_heap.pressure")
		must(t, err)
		highest = max(highest, n)
		time.Sleep(50 * time.Millisecond)
	}
	t.Logf("a pressure of %d %%", highest)
	if highest < 85 {
		t.Error("the burst proves nothing")
	}
	p.Until("the connections that rest are let go", func() bool {
		open, err := p.Stat("cluster.app.upstream_cx_active")
		must(t, err)
		pressure, err := p.Stat("overload.envoy.resource_monitors.fixed_heap.pressure")
		must(t, err)
		return open < 20 && pressure < 80
	})
	for range 20 {
		if code := ask(p); code != 200 {
			t.Errorf("status %d after the burst", code)
		}
	}
}
