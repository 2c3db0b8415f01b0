package serve

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/heddle-mesh/heddle/identity"
	"github.com/heddle-mesh/heddle/mesh"
	"github.com/heddle-mesh/heddle/xds"
	"github.com/heddle-mesh/heddle/xds/session"
)

// pipe is a stream without a network, for tests in bubbles of fake time.
type pipe struct {
	requests  chan session.Request
	responses chan *session.Response
}

func (s *Server) pipe(ctx context.Context, mode session.Mode) *pipe {
	p := &pipe{requests: make(chan session.Request), responses: make(chan *session.Response)}
	proxy := &mesh.Proxy{ID: sidecar, Build: "test"}
	c := &conn{
		server: s, proxy: proxy, mode: mode, since: time.Now(), poke: make(chan struct{}, 1), closed: make(chan struct{}),
		names: map[xds.Name]struct{}{}, types: map[string]struct{}{},
	}
	c.session = session.New(mode, func(r *xds.Resource) (session.Standing, *xds.Resource) { return s.judge(proxy, r) })
	s.join(c)
	go func() {
		defer s.leave(c)
		_ = c.run(ctx, p.requests, nil, func(r *session.Response) error {
			select {
			case p.responses <- r:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	return p
}

func TestRemovalWaitsFiveSecondsForASilentClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		d := &desk{server: New(Options{})}
		d.publish([]*xds.Resource{res(xds.Cluster, "old", "1")})
		p := d.server.pipe(ctx, session.Delta)
		p.requests <- session.Request{TypeURL: xds.Cluster}
		first := <-p.responses
		p.requests <- session.Request{TypeURL: xds.Cluster, Nonce: first.Nonce}
		d.publish([]*xds.Resource{res(xds.Cluster, "new", "1")}, cds("old"))
		start := time.Now()
		if add := <-p.responses; len(add.Resources) != 1 || len(add.Removed) != 0 || time.Since(start) != 0 {
			t.Fatalf("after %v: %+v", time.Since(start), add)
		}
		remove := <-p.responses // never acknowledged: the stream wakes up by itself
		if waited := time.Since(start); len(remove.Removed) != 1 || waited < session.Patience || waited > session.Patience+10*time.Millisecond {
			t.Errorf("after %v: %+v", waited, remove)
		}
		cancel()
		synctest.Wait()
	})
}

func TestSilentStreamSleeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		counted := &counting{table: table{}}
		s := New(Options{})
		s.Publish(Publication{Revision: 1, Store: counted})
		p := s.pipe(ctx, session.Delta)
		p.requests <- session.Request{TypeURL: xds.Cluster}
		r := <-p.responses
		p.requests <- session.Request{TypeURL: xds.Cluster, Nonce: r.Nonce}
		synctest.Wait()
		asked := counted.asked
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if counted.asked != asked {
			t.Errorf("an idle stream asked the store %d times in ten minutes", counted.asked-asked)
		}
		cancel()
		synctest.Wait()
	})
}

// counting counts questions; in a bubble there is one goroutine that asks.
type counting struct {
	table
	asked int
}

func (c *counting) Resource(p *mesh.Proxy, n xds.Name) (*xds.Resource, bool) {
	c.asked++
	return c.table.Resource(p, n)
}

func TestChangeIsMeasuredFromWhereItWasHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		registry := prometheus.NewRegistry()
		s := New(Options{Metrics: NewMetrics(registry)})
		s.Publish(Publication{Revision: 1, Store: table{}})
		p := s.pipe(ctx, session.Delta)
		p.requests <- session.Request{TypeURL: xds.Cluster}
		r := <-p.responses
		p.requests <- session.Request{TypeURL: xds.Cluster, Nonce: r.Nonce}
		synctest.Wait()
		heard := time.Now()
		time.Sleep(40 * time.Millisecond) // debounce, translate
		x := res(xds.Cluster, "a", "1")
		s.Publish(Publication{Revision: 2, Store: table{x.Name: x}, Since: heard, Changes: func(yield func(Change) bool) { yield(Change{Name: cds("")}) }})
		r = <-p.responses
		synctest.Wait()
		time.Sleep(20 * time.Millisecond)
		p.requests <- session.Request{TypeURL: xds.Cluster, Nonce: r.Nonce}
		synctest.Wait()
		want := map[string]float64{"sent": 0.040, "acknowledged": 0.060}
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() != "heddle_change_seconds" {
				continue
			}
			for _, m := range f.GetMetric() {
				stage := m.GetLabel()[0].GetValue()
				if h := m.GetHistogram(); h.GetSampleCount() != 1 || h.GetSampleSum() < want[stage] || h.GetSampleSum() > want[stage]+0.001 {
					t.Errorf("stage %s: %d samples, sum %v, want one of %v", stage, h.GetSampleCount(), h.GetSampleSum(), want[stage])
				}
				delete(want, stage)
			}
		}
		if len(want) > 0 {
			t.Errorf("no figure for %v", want)
		}
		cancel()
		synctest.Wait()
	})
}

func TestNodes(t *testing.T) {
	s := New(Options{})
	who, err := identity.ParseID(alice)
	if err != nil {
		t.Fatal(err)
	}
	n := node(sidecar, "default", "alice")
	n.UserAgentName = "envoy"
	n.UserAgentVersionType = &corev3.Node_UserAgentVersion{UserAgentVersion: "1.40.0"}
	n.Metadata.Fields["INSTANCE_IPS"] = n.Metadata.Fields["NAMESPACE"]
	p, err := s.admit(who, n)
	if err != nil || !p.Envoy || p.Build != "envoy 1.40.0" || p.Name != "pod" || len(p.Addresses) != 1 || p.Cluster != mesh.DefaultCluster || p.Network != mesh.DefaultNetwork {
		t.Errorf("%+v %v", p, err)
	}
	p, err = s.admit(who, &corev3.Node{Id: "my-grpc-app", UserAgentName: "gRPC Go"})
	if err != nil || p.Kind != mesh.Proxyless || p.Namespace != "default" || p.ServiceAccount != "alice" {
		t.Errorf("%+v %v", p, err)
	}
	if _, err = s.admit(who, nil); err == nil {
		t.Error("a stream without a node is served")
	}
}
