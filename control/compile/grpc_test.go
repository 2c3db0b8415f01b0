package compile_test

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/xds"

	"github.com/heddle-mesh/heddle/control/compile"
	"github.com/heddle-mesh/heddle/control/serve"
	xdswire "github.com/heddle-mesh/heddle/xds"
)

// An unmodified gRPC client finds a service, by a VirtualService that sends it to a subset.
func TestGRPCClientCallsService(t *testing.T) {
	backend := loopback(t)
	g := grpc.NewServer()
	h := health.NewServer()
	h.SetServingStatus("greeter", healthpb.HealthCheckResponse_SERVING)
	healthpb.RegisterHealthServer(g, h)
	go func() { _ = g.Serve(backend) }()
	t.Cleanup(g.Stop)

	w := compile.NewWorld(t, compile.DefaultSettings())
	p := publication(w.Publish(t, fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: greeter, namespace: shop}
spec:
  hosts: [greeter.internal]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 7000, name: grpc, protocol: GRPC}]
  endpoints:
  - {address: 127.0.0.1, ports: {grpc: %d}, labels: {version: good}}
  - {address: 127.0.0.1, ports: {grpc: 1}, labels: {version: bad}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: greeter, namespace: shop}
spec:
  host: greeter.internal
  subsets: [{name: good, labels: {version: good}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: greeter, namespace: shop}
spec:
  hosts: [greeter.internal]
  http: [{timeout: 5s, route: [{destination: {host: greeter.internal, subset: good}}]}]
`, port(backend))))
	v := &verdicts{acked: map[xdswire.Name]string{}}
	server := serve.New(serve.Options{AllowAnonymous: true, Log: slog.New(slog.DiscardHandler), Observer: v})
	server.Publish(p)
	ads := loopback(t)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx, []serve.Endpoint{{Name: "xds", Listener: ads}}) }()
	t.Cleanup(func() { cancel(); <-done })

	resolver, err := xds.NewXDSResolverWithConfigForTesting([]byte(`{
		"xds_servers": [{"server_uri": "127.0.0.1:` + strconv.Itoa(port(ads)) + `", "channel_creds": [{"type": "insecure"}], "server_features": ["xds_v3"]}],
		"node": {"id": "sidecar~127.0.0.1~caller.shop~shop.svc.cluster.local", "metadata": {"NAMESPACE": "shop", "GENERATOR": "grpc"}}
	}`))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient("xds:///greeter.internal:7000", grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithResolvers(resolver))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for range 10 {
		resp, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{Service: "greeter"}, grpc.WaitForReady(true))
		if err != nil || resp.Status != healthpb.HealthCheckResponse_SERVING {
			t.Fatalf("%v %v; rejected: %v", resp, err, v.rejected)
		}
	}
}
