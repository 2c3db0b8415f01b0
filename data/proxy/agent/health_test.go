package agent

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/heddle-mesh/heddle/xds"
	"github.com/heddle-mesh/heddle/xds/client"
)

// onlooker keeps what the control plane says of one thing.
type onlooker struct {
	mu   sync.Mutex
	body string
}

func (o *onlooker) OnResponse(_ string, added []*xds.Resource, removed []string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, r := range added {
		o.body = string(r.Body)
	}
	if len(removed) > 0 {
		o.body = ""
	}
	return nil
}

func (o *onlooker) OnStream(bool, error) {}

// called says whether others call an address.
func (o *onlooker) called(address string) func() error {
	return func() error {
		o.mu.Lock()
		defer o.mu.Unlock()
		if !strings.Contains(o.body, address) {
			return fmt.Errorf("%s is no endpoint in %q", address, o.body)
		}
		return nil
	}
}

func (o *onlooker) avoided(address string) func() error {
	return func() error {
		if o.called(address)() == nil {
			return fmt.Errorf("%s is an endpoint", address)
		}
		return nil
	}
}

// A workload whose proxy is a stock Envoy registers and tells its health by the agent.
func TestEnvoysWorkloadRegisters(t *testing.T) {
	p := startPlane(t)
	seen := &onlooker{}
	look, err := client.New(client.Config{Target: "unix:" + p.sock, TokenFile: p.dir + "/token", Node: &corev3.Node{Id: "sidecar~10.78.0.9~look.shop~shop.svc.cluster.local"}, Handler: seen})
	if err != nil {
		t.Fatal(err)
	}
	look.Subscribe(xds.Endpoints, "outbound|8080||web.shop.svc.cluster.local")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { _ = look.Run(ctx) }()
	until(t, "the endpoints are known", seen.called("10.78.0.1"))
	var sick atomic.Bool
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if sick.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer app.Close()
	r := start(t, p, func(o *Options) {
		o.Workload.Name, o.Workload.IPs, o.Workload.Group = "machine", []netip.Addr{netip.MustParseAddr("10.78.0.7")}, "machines"
		o.Workload.Config = fmt.Sprintf("readinessProbe: {periodSeconds: 1, httpGet: {port: %d}}", netip.MustParseAddrPort(app.Listener.Addr().String()).Port())
	})
	until(t, "the workload is called", seen.called("10.78.0.7"))
	sick.Store(true)
	until(t, "the workload is avoided while its probe fails", seen.avoided("10.78.0.7"))
	sick.Store(false)
	until(t, "the workload is called again", seen.called("10.78.0.7"))
	r.stop()
	until(t, "its entry is gone", seen.avoided("10.78.0.7"))
}
