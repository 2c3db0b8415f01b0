package client

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/heddle-mesh/heddle/internal/backoff"
	"github.com/heddle-mesh/heddle/xds"
)

// scripted is a server whose streams a test drives by hand.
type scripted struct {
	discoveryv3.UnimplementedAggregatedDiscoveryServiceServer
	streams chan discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesServer
	worlds  chan discoveryv3.AggregatedDiscoveryService_StreamAggregatedResourcesServer
	end     chan error
}

func (s *scripted) DeltaAggregatedResources(x discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	s.streams <- x
	select {
	case err := <-s.end:
		return err
	case <-x.Context().Done():
		return nil
	}
}

func (s *scripted) StreamAggregatedResources(x discoveryv3.AggregatedDiscoveryService_StreamAggregatedResourcesServer) error {
	s.worlds <- x
	<-x.Context().Done()
	return nil
}

// verdicts is a Handler that answers as told.
type verdicts struct {
	calls chan string
	err   func(url string, added []*xds.Resource) error
}

func (v *verdicts) OnResponse(url string, added []*xds.Resource, removed []string) error {
	b := []string{xds.ShortType(url)}
	for _, x := range added {
		b = append(b, x.Name.Name+"@"+x.Version)
	}
	for _, n := range removed {
		b = append(b, "-"+n)
	}
	v.calls <- strings.Join(b, " ")
	if v.err != nil {
		return v.err(url, added)
	}
	return nil
}

func (v *verdicts) OnStream(bool, error) {}

func run(t *testing.T, sotw bool, v *verdicts) (*scripted, *Client) {
	t.Helper()
	s := &scripted{
		streams: make(chan discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesServer),
		worlds:  make(chan discoveryv3.AggregatedDiscoveryService_StreamAggregatedResourcesServer), end: make(chan error),
	}
	l := bufconn.Listen(1 << 16)
	g := grpc.NewServer()
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(g, s)
	go func() { _ = g.Serve(l) }()
	t.Cleanup(g.Stop)
	c, err := New(Config{
		Target: "test", Dial: func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }, StateOfTheWorld: sotw,
		Node: &corev3.Node{Id: "n"}, Handler: v, Backoff: backoff.Backoff{First: time.Millisecond, Limit: time.Millisecond},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = c.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return s, c
}

func resource(name, version string) *discoveryv3.Resource {
	return &discoveryv3.Resource{Name: name, Version: version, Resource: &anypb.Any{TypeUrl: xds.Cluster, Value: []byte("x")}}
}

func recv(t *testing.T, s discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) *discoveryv3.DeltaDiscoveryRequest {
	t.Helper()
	m, err := s.Recv()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestDeltaStreamFromOpeningToReconnect(t *testing.T) {
	v := &verdicts{calls: make(chan string, 10)}
	v.err = func(_ string, added []*xds.Resource) error {
		for _, x := range added {
			if x.Version == "bad" {
				return &Rejection{Resources: []Refused{{Name: x.Name.Name, Reason: "clusters[0].lb_policy: no"}}}
			}
		}
		return nil
	}
	server, c := run(t, false, v)
	c.Subscribe(xds.Cluster)
	s := <-server.streams
	if m := recv(t, s); m.GetNode().GetId() != "n" || m.GetTypeUrl() != xds.Cluster || len(m.GetResourceNamesSubscribe()) != 0 {
		t.Fatal(m)
	}
	c.Subscribe(xds.Endpoints, "a", "b")
	if m := recv(t, s); m.GetNode() != nil || !slices.Equal(m.GetResourceNamesSubscribe(), []string{"a", "b"}) {
		t.Fatal(m)
	}
	c.Unsubscribe(xds.Endpoints, "b")
	if m := recv(t, s); !slices.Equal(m.GetResourceNamesUnsubscribe(), []string{"b"}) || len(m.GetResourceNamesSubscribe()) != 0 {
		t.Fatal(m)
	}
	send := func(nonce string, removed []string, rs ...*discoveryv3.Resource) *discoveryv3.DeltaDiscoveryRequest {
		t.Helper()
		if err := s.Send(&discoveryv3.DeltaDiscoveryResponse{TypeUrl: xds.Cluster, Nonce: nonce, Resources: rs, RemovedResources: removed}); err != nil {
			t.Fatal(err)
		}
		return recv(t, s)
	}
	if m := send("1", nil, resource("a", "1"), resource("b", "1")); m.GetResponseNonce() != "1" || m.GetErrorDetail() != nil {
		t.Fatal(m)
	}
	// A refusal names the culprit and keeps its old version; the rest is taken.
	m := send("2", nil, resource("a", "bad"), resource("b", "2"), resource("c", "1"))
	if m.GetResponseNonce() != "2" || m.GetErrorDetail().GetMessage() != "a: clusters[0].lb_policy: no" {
		t.Fatal(m)
	}
	if m := send("3", []string{"c"}); m.GetErrorDetail() != nil {
		t.Fatal(m)
	}
	if m := send("4", nil); m.GetResponseNonce() != "4" || m.GetErrorDetail() != nil { // nothing new is an answer
		t.Fatal(m)
	}
	if got := c.Versions(xds.Cluster); len(got) != 2 || got["a"] != "1" || got["b"] != "2" {
		t.Error(got)
	}
	// On the next stream it says what it holds, and who it is.
	server.end <- errors.New("restart")
	s = <-server.streams
	m = recv(t, s)
	if got := m.GetInitialResourceVersions(); m.GetNode().GetId() != "n" || len(got) != 2 || got["a"] != "1" || got["b"] != "2" || m.GetResponseNonce() != "" {
		t.Fatal(m)
	}
	if m := recv(t, s); m.GetTypeUrl() != xds.Endpoints || !slices.Equal(m.GetResourceNamesSubscribe(), []string{"a"}) {
		t.Fatal(m)
	}
	for _, want := range []string{"cds a@1 b@1", "cds a@bad b@2 c@1", "cds -c", "cds"} {
		if got := <-v.calls; got != want {
			t.Errorf("handler heard %q, want %q", got, want)
		}
	}
}

// What was found out about the workload is told once on a stream, and again on the next one, behind who the client is.
func TestHealthIsTold(t *testing.T) {
	server, c := run(t, false, &verdicts{calls: make(chan string, 10)})
	c.Health(false, "status 503")
	s := <-server.streams
	if m := recv(t, s); m.GetNode().GetId() != "n" || m.GetTypeUrl() != xds.Health || m.GetErrorDetail().GetMessage() != "status 503" {
		t.Fatal(m)
	}
	c.Subscribe(xds.Cluster)
	if m := recv(t, s); m.GetTypeUrl() != xds.Cluster || m.GetNode() != nil {
		t.Fatal(m)
	}
	c.Health(true, "")
	if m := recv(t, s); m.GetTypeUrl() != xds.Health || m.GetErrorDetail() != nil {
		t.Fatal(m)
	}
	server.end <- errors.New("restart")
	s = <-server.streams
	if m := recv(t, s); m.GetTypeUrl() != xds.Cluster || m.GetNode().GetId() != "n" {
		t.Fatal(m)
	}
	if m := recv(t, s); m.GetTypeUrl() != xds.Health || m.GetErrorDetail() != nil || m.GetNode() != nil {
		t.Fatal(m)
	}
	world, c := run(t, true, &verdicts{calls: make(chan string, 10)})
	c.Health(true, "")
	w := <-world.worlds
	if m, err := w.Recv(); err != nil || m.GetTypeUrl() != xds.Health || m.GetErrorDetail() != nil || m.GetNode().GetId() != "n" {
		t.Fatal(m, err)
	}
}

func TestWorldTellsWhatIsGone(t *testing.T) {
	v := &verdicts{calls: make(chan string, 10)}
	server, c := run(t, true, v)
	c.Subscribe(xds.Cluster)
	s := <-server.worlds
	next := func() *discoveryv3.DiscoveryRequest {
		t.Helper()
		m, err := s.Recv()
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	next()
	cluster := func(name string) *anypb.Any {
		return &anypb.Any{TypeUrl: xds.Cluster, Value: append([]byte{0x10, 1, 0x0a, byte(len(name))}, name...)}
	}
	version := xds.Version(cluster("a").GetValue())
	for i, names := range [][]string{{"a", "b"}, {"a"}} {
		r := &discoveryv3.DiscoveryResponse{TypeUrl: xds.Cluster, Nonce: string(rune('1' + i)), VersionInfo: "v" + string(rune('1'+i))}
		for _, n := range names {
			r.Resources = append(r.Resources, cluster(n))
		}
		if err := s.Send(r); err != nil {
			t.Fatal(err)
		}
		if m := next(); m.GetResponseNonce() != r.GetNonce() || m.GetVersionInfo() != r.GetVersionInfo() {
			t.Fatal(m)
		}
	}
	<-v.calls
	if got := <-v.calls; got != "cds a@"+version+" -b" {
		t.Error(got)
	}
	c.Subscribe(xds.Endpoints, "a")
	if m := next(); !slices.Equal(m.GetResourceNames(), []string{"a"}) {
		t.Fatal(m)
	}
	c.Subscribe(xds.Endpoints, "b")
	c.Unsubscribe(xds.Endpoints, "a")
	for {
		m := next()
		if slices.Equal(m.GetResourceNames(), []string{"b"}) {
			break
		}
		if !slices.Equal(m.GetResourceNames(), []string{"a", "b"}) {
			t.Fatal(m)
		}
	}
}

func TestConfigurationIsChecked(t *testing.T) {
	n := &corev3.Node{Id: "n"}
	for want, cfg := range map[string]Config{
		"handler":      {Target: "x:1", Node: n},
		"address":      {Node: n, Handler: &verdicts{}},
		"node":         {Target: "x:1", Handler: &verdicts{}},
		"in the clear": {Target: "example.com:15010", Node: n, Handler: &verdicts{}, TokenFile: "t"},
	} {
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	for _, target := range []string{"unix:/run/x", "127.0.0.1:1", "[::1]:1", "localhost:1"} {
		if _, err := New(Config{Target: target, Node: n, Handler: &verdicts{}, TokenFile: "t"}); err != nil {
			t.Errorf("%s: %v", target, err)
		}
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	c, err := New(Config{Target: "127.0.0.1:1", Node: &corev3.Node{Id: "n"}, Handler: &verdicts{}})
	if err != nil {
		t.Fatal(err)
	}
	c.Subscribe(xds.Cluster)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := c.Run(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

func FuzzNameOf(f *testing.F) {
	f.Add([]byte{0x0a, 1, 'a'})
	f.Add([]byte{0x10, 1, 0x0a, 1, 'b', 0x0a, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		name, err := nameOf(xds.Cluster, b)
		if err == nil && len(name) > len(b) {
			t.Error(name)
		}
	})
}
