package wire

import (
	"fmt"
	"strings"
	"testing"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/heddle-mesh/heddle/xds"
	"github.com/heddle-mesh/heddle/xds/session"
)

func resources(sizes ...int) (all []*xds.Resource) {
	for i, n := range sizes {
		all = append(all, xds.FromBytes(xds.Name{TypeURL: xds.Cluster, Name: fmt.Sprintf("c%d", i)}, []byte(strings.Repeat("x", n))))
	}
	return all
}

func TestEncodingIsProtobufs(t *testing.T) {
	for _, mode := range []session.Mode{session.Delta, session.StateOfTheWorld} {
		for _, sizes := range [][]int{nil, {0}, {1, 0, 5}, {small, small + 1}, {1 << 17, 3, 1 << 14, 127, 128, 129}} {
			r := &session.Response{Mode: mode, TypeURL: xds.Cluster, Version: "v", Nonce: "n1", Resources: resources(sizes...)}
			var want, got proto.Message
			if mode == session.Delta {
				r.Removed = []string{"gone", strings.Repeat("g", 300)}
				d := &discoveryv3.DeltaDiscoveryResponse{SystemVersionInfo: "v", TypeUrl: xds.Cluster, Nonce: "n1", RemovedResources: r.Removed}
				for _, x := range r.Resources {
					d.Resources = append(d.Resources, &discoveryv3.Resource{Name: x.Name.Name, Version: x.Version, Resource: &anypb.Any{TypeUrl: x.Name.TypeURL, Value: x.Body}})
				}
				want, got = d, &discoveryv3.DeltaDiscoveryResponse{}
			} else {
				d := &discoveryv3.DiscoveryResponse{VersionInfo: "v", TypeUrl: xds.Cluster, Nonce: "n1"}
				for _, x := range r.Resources {
					d.Resources = append(d.Resources, &anypb.Any{TypeUrl: x.Name.TypeURL, Value: x.Body})
				}
				want, got = d, &discoveryv3.DiscoveryResponse{}
			}
			buffers, err := Codec().Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			if err := Codec().Unmarshal(buffers, got); err != nil {
				t.Fatalf("mode %d sizes %v: %v", mode, sizes, err)
			}
			if !proto.Equal(want, got) {
				t.Errorf("mode %d sizes %v: differs from the generated encoding", mode, sizes)
			}
		}
	}
}

func TestLargeBodiesGoByReference(t *testing.T) {
	r := &session.Response{TypeURL: xds.Cluster, Resources: resources(10, 1<<16)}
	buffers, err := Codec().Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	shared := false
	for _, b := range buffers {
		if p := b.ReadOnlyData(); len(p) == 1<<16 && &p[0] == &r.Resources[1].Body[0] {
			shared = true
		}
	}
	if !shared {
		t.Error("the large body was copied")
	}
	if _, err := Codec().Marshal(&session.Response{Resources: []*xds.Resource{{Name: xds.Name{Name: "x"}}}}); err == nil {
		t.Error("a resource without bytes was encoded")
	}
}

func TestOtherMessagesAreEncodedAsEver(t *testing.T) {
	in := &discoveryv3.DiscoveryRequest{TypeUrl: "t", ResourceNames: []string{"a"}}
	buffers, err := Codec().Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	var out discoveryv3.DiscoveryRequest
	if err := Codec().Unmarshal(mem.BufferSlice{mem.SliceBuffer(buffers.Materialize())}, &out); err != nil || !proto.Equal(in, &out) {
		t.Error(err, &out)
	}
}

func FuzzRequests(f *testing.F) {
	delta, _ := proto.Marshal(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: xds.Cluster, ResourceNamesSubscribe: []string{"*", "a"}, InitialResourceVersions: map[string]string{"a": "1"}})
	world, _ := proto.Marshal(&discoveryv3.DiscoveryRequest{TypeUrl: xds.Listener, ResourceNames: []string{"a"}, ResponseNonce: "1"})
	f.Add(delta, world)
	f.Fuzz(func(_ *testing.T, a, b []byte) {
		var d discoveryv3.DeltaDiscoveryRequest
		if proto.Unmarshal(a, &d) == nil {
			s := session.New(session.Delta, nil)
			s.Receive(at, DeltaRequest(&d))
			s.Next(at, none{}, 1<<10)
		}
		var w discoveryv3.DiscoveryRequest
		if proto.Unmarshal(b, &w) == nil {
			s := session.New(session.StateOfTheWorld, nil)
			s.Receive(at, WorldRequest(&w))
			s.Next(at, none{}, 1<<10)
		}
	})
}
