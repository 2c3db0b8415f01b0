package grpc

import (
	"fmt"
	"testing"

	"google.golang.org/grpc/codes"
)

// TestProxylessServersGo tries grpc-go as a server whose listener comes from the control plane.
func TestProxylessServersGo(t *testing.T) { tryServer(t, "go") }

// TestProxylessServersForeign tries grpc-java and grpc-js.
func TestProxylessServersForeign(t *testing.T) { tryForeign(t, tryServer) }

const mutual = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: served, namespace: shop}\nspec: {host: served.test, trafficPolicy: {tls: {mode: ISTIO_MUTUAL%s}}}\n---\n"

func strict(mode string) string {
	return "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: served, namespace: shop}\nspec: {selector: {matchLabels: {app: served}}, mtls: {mode: " + mode + "}}\n---\n"
}

func allow(rule string) string {
	return "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: served, namespace: shop}\nspec: {selector: {matchLabels: {app: served}}, action: ALLOW, rules: [" + rule + "]}\n---\n"
}

// bound is what a server in a language listens on.
func bound(language string, port int) string {
	if language == "java" { // its server takes all addresses
		return fmt.Sprintf("0.0.0.0:%d", port)
	}
	return fmt.Sprintf("127.0.0.1:%d", port)
}

// tryServer: the server is plain or takes mutual TLS as PeerAuthentication says, and lets in whom AuthorizationPolicies let in.
func tryServer(t *testing.T, language string) {
	port := freePort(t)
	l := newLab(t, fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: served, namespace: shop}
spec:
  hosts: [served.test]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 7000, name: grpc, protocol: GRPC}]
  endpoints: [{address: 127.0.0.1, ports: {grpc: %d}, labels: {app: served}, serviceAccount: served}]
`, port))
	of := func(name string) *bench {
		return &bench{lab: l, t: t, feature: name, language: "go", client: newGo(t, l.workload(name, name, map[string]string{"app": name}))}
	}
	client, other := of("client"), of("other")
	bootstrap := l.workload("served", "served", map[string]string{"app": "served"})
	l.apply("")
	var server program
	if language == "go" {
		server = newGo(t, bootstrap)
	} else {
		server = newForeign(t, language, bootstrap)
	}
	server.do(ask{Serve: bound(language, port)})

	const target = "xds:///served.test:7000"
	call := func(b *bench, path string) got { return b.calls(ask{Target: target, Path: path, TimeoutMS: 5000})[0] }
	answers := func(b *bench) bool { return call(b, "/echo.Echo/Get").Code == codes.OK }

	l.until("the server answers in plain text", func() bool { return answers(client) })
	if s := call(client, "/echo.Echo/Get").seen(); s.Server != language || s.Peer != "" {
		t.Errorf("%+v", s)
	}

	l.apply(strict("STRICT") + fmt.Sprintf(mutual, ""))
	l.until("the server takes mutual TLS", func() bool { return call(client, "/echo.Echo/Get").seen().Peer != "" })
	for _, b := range []*bench{client, other} {
		l.until("the caller is known", func() bool {
			return call(b, "/echo.Echo/Get").seen().Peer == "spiffe://cluster.local/ns/shop/sa/"+b.feature
		})
	}
	l.apply(strict("STRICT") + fmt.Sprintf(mutual, ", subjectAltNames: [spiffe://cluster.local/ns/shop/sa/somebody]"))
	// Connections that are open stay; a channel of its own has none.
	fresh := ask{Target: target, Path: "/echo.Echo/Get", TimeoutMS: 5000, Channel: "fresh "}
	l.until("a server that proves another name is refused", func() bool { return client.calls(fresh)[0].Code == codes.Unavailable })
	l.apply(strict("STRICT"))
	fresh.Channel = "plain "
	l.until("plain text is refused", func() bool { return client.calls(fresh)[0].Code == codes.Unavailable })

	l.apply(strict("STRICT") + fmt.Sprintf(mutual, "") + allow("{from: [{source: {principals: [cluster.local/ns/shop/sa/client]}}]}"))
	l.until("one caller is let in", func() bool { return answers(client) })
	l.until("another is not", func() bool { return call(other, "/echo.Echo/Get").Code == codes.PermissionDenied })
	l.apply(strict("STRICT") + fmt.Sprintf(mutual, "") + allow("{to: [{operation: {paths: [/echo.Echo/Get], methods: [POST]}}]}"))
	l.until("one method is let in", func() bool { return answers(other) })
	if g := call(client, "/echo.Echo/Admin"); g.Code != codes.PermissionDenied {
		t.Errorf("another method: %+v", g)
	}
	l.apply(strict("STRICT") + fmt.Sprintf(mutual, "") + allow("{to: [{operation: {ports: ['1']}}]}"))
	l.until("a rule of another port lets nobody in", func() bool { return call(client, "/echo.Echo/Get").Code == codes.PermissionDenied })
	deny := "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: deny, namespace: shop}\nspec: {selector: {matchLabels: {app: served}}, action: DENY, rules: [{from: [{source: {namespaces: [shop]}}], to: [{operation: {paths: [/echo.Echo/Admin]}}]}]}\n---\n"
	l.apply(strict("STRICT") + fmt.Sprintf(mutual, "") + allow("{}") + deny)
	l.until("the rest is let in", func() bool { return answers(other) })
	if g := call(client, "/echo.Echo/Admin"); g.Code != codes.PermissionDenied {
		t.Errorf("what is denied: %+v", g)
	}
}
