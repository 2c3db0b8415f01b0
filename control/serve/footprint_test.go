//go:build !race

package serve

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"net"
	"runtime"
	"testing"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/heddle-mesh/heddle/xds"
)

// TestFootprintOfConnections bounds what a proxy costs that has what it wants and is silent: thousands of them are.
func TestFootprintOfConnections(t *testing.T) {
	const proxies = 100
	w := &world{desk: &desk{server: New(Options{Authenticator: fixed{alice}})}}
	w.publish([]*xds.Resource{res(xds.Cluster, "a", "b")})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ca := newAuthority(t)
	own := ca.sign(t, &x509.Certificate{SerialNumber: big.NewInt(2), DNSNames: []string{"heddled"}})
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	g := w.server.GRPC(&tls.Config{Certificates: []tls.Certificate{own}})
	defer g.Stop()
	go func() { _ = g.Serve(l) }()
	held := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	var before uint64
	for i := range proxies + 1 {
		if i == 1 { // the first brings what all share
			before = held()
		}
		conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: pool, ServerName: "heddled"})), grpc.WithReadBufferSize(0), grpc.WithWriteBufferSize(0))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		s, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Send(&discoveryv3.DeltaDiscoveryRequest{Node: node(fmt.Sprintf("sidecar~10.0.0.1~pod-%d.default~default.svc.cluster.local", i), "default", "alice"), TypeUrl: xds.Cluster}); err != nil {
			t.Fatal(err)
		}
		if err := takeAll(s, 1, 0); err != nil {
			t.Fatal(err)
		}
	}
	each := int64(held()-before) / proxies
	t.Logf("%d bytes for each proxy, with its client", each)
	if each > 70_000 {
		t.Errorf("a proxy costs %d bytes, want at most 70,000", each)
	}
}
