package serve

import (
	"fmt"
	"testing"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"golang.org/x/sync/errgroup"

	"github.com/heddle-mesh/heddle/xds"
)

const (
	benchClusters = 1000
	benchClients  = 100
)

// meshTable is as many clusters with endpoints as the benchmark wants, of realistic size.
func meshTable() (all []*xds.Resource) {
	for i := range benchClusters {
		name := fmt.Sprintf("outbound|80||service-%04d.default.svc.cluster.local", i)
		all = append(all, xds.FromBytes(cds(name), make([]byte, 900)), xds.FromBytes(eds(name), make([]byte, 3000)))
	}
	return all
}

// takeAll reads until the stream has delivered so many resources, and acknowledges.
func takeAll(s discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesClient, clusters, endpoints int) error {
	for clusters > 0 || endpoints > 0 {
		m, err := s.Recv()
		if err != nil {
			return err
		}
		ack := &discoveryv3.DeltaDiscoveryRequest{TypeUrl: m.GetTypeUrl(), ResponseNonce: m.GetNonce()}
		if err := s.Send(ack); err != nil {
			return err
		}
		if m.GetTypeUrl() == xds.Endpoints {
			endpoints -= len(m.GetResources())
			continue
		}
		clusters -= len(m.GetResources())
		var names []string
		for _, x := range m.GetResources() {
			names = append(names, x.GetName())
		}
		if endpoints > 0 {
			if err := s.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: xds.Endpoints, ResourceNamesSubscribe: names}); err != nil {
				return err
			}
		}
	}
	return nil
}

type adsClient = discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesClient

func connectAll(b *testing.B, w *world) (streams []adsClient) {
	var group errgroup.Group
	for i := range benchClients {
		s := w.raw(b)
		streams = append(streams, s)
		group.Go(func() error {
			n := node(fmt.Sprintf("sidecar~10.0.%d.%d~pod-%d.default~default.svc.cluster.local", i/250, i%250, i), "default", "alice")
			if err := s.Send(&discoveryv3.DeltaDiscoveryRequest{Node: n, TypeUrl: xds.Cluster}); err != nil {
				return err
			}
			return takeAll(s, benchClusters, benchClusters)
		})
	}
	if err := group.Wait(); err != nil {
		b.Fatal(err)
	}
	return streams
}

// BenchmarkFirstSync is 100 clients that connect and take 1,000 clusters with their endpoints (4 MB each).
func BenchmarkFirstSync(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		w := start(b, Options{})
		w.publish(meshTable())
		b.StartTimer()
		connectAll(b, w)
	}
}

// BenchmarkClusterChange is one changed cluster (and its endpoints behind it) that reaches 100 clients.
func BenchmarkClusterChange(b *testing.B) {
	w := start(b, Options{})
	all := meshTable()
	w.publish(all)
	streams := connectAll(b, w)
	b.ResetTimer()
	for i := range b.N {
		body := make([]byte, 900)
		copy(body, fmt.Sprint(i, "x"))
		w.publish([]*xds.Resource{xds.FromBytes(all[0].Name, body)})
		var group errgroup.Group
		for _, s := range streams {
			group.Go(func() error { return takeAll(s, 1, 0) })
		}
		if err := group.Wait(); err != nil {
			b.Fatal(err)
		}
		for _, s := range streams {
			group.Go(func() error { return takeAll(s, 0, 1) })
		}
		if err := group.Wait(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkEndpointChange is one changed assignment that reaches the 100 clients that subscribe to it.
func BenchmarkEndpointChange(b *testing.B) {
	w := start(b, Options{})
	all := meshTable()
	w.publish(all)
	streams := connectAll(b, w)
	b.ResetTimer()
	for i := range b.N {
		body := make([]byte, 3000)
		copy(body, fmt.Sprint(i, "x"))
		w.publish([]*xds.Resource{xds.FromBytes(all[1].Name, body)})
		var group errgroup.Group
		for _, s := range streams {
			group.Go(func() error { return takeAll(s, 0, 1) })
		}
		if err := group.Wait(); err != nil {
			b.Fatal(err)
		}
	}
}
