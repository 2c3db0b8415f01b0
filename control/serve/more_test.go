package serve

import (
	"context"
	"sync"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/heddle-mesh/heddle/xds"
	"github.com/heddle-mesh/heddle/xds/client"
	"github.com/heddle-mesh/heddle/xds/session"
)

func outcome(names ...string) session.Outcome { return session.Outcome{Subscribed: names} }
func wildcard() session.Outcome               { return session.Outcome{Wildcard: true} }

// swapServer ends the server that runs and puts another in its place.
func (w *world) swapServer(t *testing.T, next *desk) {
	t.Helper()
	l := bufconn.Listen(1 << 16)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = next.server.Run(ctx, []Endpoint{{Name: "next", Listener: l}}) }()
	t.Cleanup(func() { cancel(); <-done })
	lock.Lock()
	w.listener = l
	lock.Unlock()
	for _, c := range w.server.connections() {
		w.server.Disconnect(c.id)
	}
}

var lock sync.Mutex // guards world.listener while a test swaps servers

// raw is a client that does only what a test tells it to.
func (w *world) raw(t testing.TB) discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesClient {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///test", grpc.WithContextDialer(w.dial), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

// refusal is the error of a stream that a node opens.
func (w *world) refusal(t *testing.T, n *corev3.Node) error {
	t.Helper()
	s := w.raw(t)
	_ = s.Send(&discoveryv3.DeltaDiscoveryRequest{Node: n, TypeUrl: xds.Cluster}) // the server may have ended the stream already: Recv says why
	_, err := s.Recv()
	return err
}

func TestSlowReaderCoalescesAndDelaysNobody(t *testing.T) {
	w := start(t, Options{})
	big := func(v byte) *xds.Resource {
		b := make([]byte, 256<<10)
		b[0] = v
		return xds.FromBytes(cds("big"), b)
	}
	w.publish([]*xds.Resource{big(0)})
	slow := w.raw(t)
	if err := slow.Send(&discoveryv3.DeltaDiscoveryRequest{Node: node(sidecar, "default", "alice"), TypeUrl: xds.Cluster}); err != nil {
		t.Fatal(err)
	}
	fast := newRecorder()
	w.connect(t, fast, false, node("sidecar~10.0.0.2~fast.default~default.svc.cluster.local", "default", "alice"), subscribeClusters)
	const last = 200
	for v := byte(1); v <= last; v++ {
		w.publish([]*xds.Resource{big(v)})
	}
	fast.until(t, "the last version", func() bool { b := fast.holds(cds("big")); return b != "" && b[0] == last })
	responses := 0
	for done := false; !done; responses++ {
		m, err := slow.Recv()
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range m.GetResources() {
			done = x.GetResource().GetValue()[0] == last
		}
		if err := slow.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: xds.Cluster, ResponseNonce: m.GetNonce()}); err != nil {
			t.Fatal(err)
		}
	}
	if responses > 5 {
		t.Errorf("the slow reader had %d responses to read for %d changes", responses, last)
	}
}

func TestDisconnectIsHeard(t *testing.T) {
	w := start(t, Options{})
	w.publish(nil)
	r := newRecorder()
	_, stop := w.connect(t, r, false, node(sidecar, "default", "alice"), subscribeClusters)
	w.observer.until(t, "connected", func() bool { return len(w.observer.log()) == 1 })
	stop()
	w.observer.until(t, "disconnected", func() bool { l := w.observer.log(); return len(l) == 2 && l[1] == "disconnected "+sidecar })
	for deadline := time.Now().Add(5 * time.Second); ; {
		n := 0
		for range w.server.Proxies() {
			n++
		}
		if n == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the proxy is still listed")
		}
		time.Sleep(time.Millisecond)
	}
}

func subscribeClusters(c *client.Client) { c.Subscribe(xds.Cluster) }

func TestStreamWithoutCredentialEndsUnasked(t *testing.T) {
	w := start(t, Options{Authenticator: fixed{}})
	w.publish(nil)
	if _, err := w.raw(t).Recv(); status.Code(err) != codes.Unauthenticated {
		t.Error(err)
	}
}
