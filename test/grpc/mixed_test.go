package grpc

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/heddle-mesh/heddle/data/proxy/announce"
	proxy "github.com/heddle-mesh/heddle/data/proxy/server"
)

// The ports of a sidecar here: nothing is captured, so clients call it where it listens for the workload, and its workload uses its HTTP proxy.
const (
	inboundPort = 22006
	proxyPort   = 22007
)

// sidecar runs a heddle-proxy for a workload at a loopback address; app is where the process listens.
func (l *lab) sidecar(name, address string, app int) {
	l.t.Helper()
	l.token(name, name)
	self := &announce.Workload{
		Kind: announce.Sidecar, Name: name, Namespace: "shop", Account: name, IPs: []netip.Addr{netip.MustParseAddr(address)}, Labels: map[string]string{"app": name},
		ClusterID: "Kubernetes", TrustDomain: "cluster.local", DNSDomain: "cluster.local", Interception: "NONE", Agent: "heddle-proxy", Version: "test", Features: announce.Features(),
	}
	if app != 0 {
		self.Applications = map[uint16]netip.AddrPort{inboundPort: netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(app))}
	}
	o := proxy.Options{Version: "test", Workload: self, Concurrency: 1, Drain: time.Second, AdminSocket: l.path(name + ".sock"), Log: l.logger(name)}
	o.XDS.Address, o.XDS.TokenFile = "unix:"+l.path("xds.sock"), l.path(name+".token")
	o.CA = o.XDS
	s, err := proxy.New(o)
	must(l.t, err)
	l.run("the sidecar of "+name, func(ctx context.Context) error {
		_ = s.Run(ctx, ctx) // nobody waits for what is still open
		return nil
	})
}

// freeLoopback is an address of this machine that no other test listens at.
func freeLoopback(t *testing.T, first int) string {
	t.Helper()
	for n := first; n < first+100; n++ {
		address := fmt.Sprintf("127.210.%d.%d", os.Getpid()%250+1, n+2)
		if l, err := net.Listen("tcp", fmt.Sprintf("%s:%d", address, proxyPort)); err == nil {
			l.Close()
			return address
		}
	}
	t.Fatal("no loopback address is free")
	return ""
}

// TestMixed: a client without a proxy calls a service behind a sidecar, and the reverse, by mutual TLS; each side knows the other's identity.
func TestMixed(t *testing.T) {
	behind, alone := newEcho(t, "behind"), freePort(t)
	at, client := freeLoopback(t, 0), freeLoopback(t, 100)
	l := newLabWith(t, fmt.Sprintf(`
apiVersion: v1
kind: Service
metadata: {name: behind, namespace: shop}
spec: {clusterIP: 10.9.0.1, selector: {app: behind}, ports: [{name: grpc, port: 7000}]}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: behind, namespace: shop, annotations: {heddle.dev/proxied: "true"}}
spec: {address: %s, ports: {grpc: %d}, labels: {app: behind}, serviceAccount: behind}
---
apiVersion: v1
kind: Service
metadata: {name: alone, namespace: shop}
spec: {clusterIP: 10.9.0.2, selector: {app: alone}, ports: [{name: grpc, port: 7000}]}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: alone, namespace: shop}
spec: {address: 127.0.0.1, ports: {grpc: %d}, labels: {app: alone, security.istio.io/tlsMode: istio}, serviceAccount: alone}
`, at, inboundPort, alone), fmt.Sprintf("proxyHttpPort: %d\n", proxyPort))
	l.sidecar("behind", at, behind.port)
	l.sidecar("client", client, 0)
	without := &bench{lab: l, t: t, feature: "without", language: "go", client: newGo(t, l.workload("without", "without", map[string]string{"app": "without"}))}
	newGo(t, l.workload("alone", "alone", map[string]string{"app": "alone", "security.istio.io/tlsMode": "istio"})).do(ask{Serve: fmt.Sprintf("127.0.0.1:%d", alone)})
	const rules = `
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: behind, namespace: shop}
spec: {selector: {matchLabels: {app: behind}}, mtls: {mode: STRICT}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: behind, namespace: shop}
spec: {host: behind, trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: behind, namespace: shop}
spec: {selector: {matchLabels: {app: behind}}, action: ALLOW, rules: [{from: [{source: {principals: [cluster.local/ns/shop/sa/%s]}}]}]}
---
`
	call := func() got {
		return without.calls(ask{Target: "xds:///behind.shop.svc.cluster.local:7000", TimeoutMS: 5000})[0]
	}
	l.apply(fmt.Sprintf(rules, "without"))
	l.until("a sidecar takes the calls of a client without one, and knows it", func() bool {
		return strings.Contains(call().seen().Headers["x-forwarded-client-cert"], "URI=spiffe://cluster.local/ns/shop/sa/without")
	})
	l.apply(fmt.Sprintf(rules, "somebody"))
	l.until("the sidecar judges it", func() bool { return call().Code == codes.PermissionDenied })

	conn, err := grpc.NewClient(fmt.Sprintf("passthrough:///%s:%d", client, proxyPort), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithAuthority("alone.shop.svc.cluster.local:7000"), grpc.WithDefaultCallOptions(grpc.ForceCodecV2(raw{})))
	must(t, err)
	defer conn.Close()
	var said string
	defer func() {
		if t.Failed() {
			t.Log("the last answer: ", said)
		}
	}()
	l.until("a server without a sidecar takes the calls of a client with one, by mutual TLS that is labelled", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		var in, out []byte
		err := conn.Invoke(ctx, "/echo.Echo/Get", &in, &out)
		said = fmt.Sprint(string(out), err)
		return got{Body: string(out)}.seen().Peer == "spiffe://cluster.local/ns/shop/sa/client"
	})
}
