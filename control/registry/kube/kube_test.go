package kube

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/registry"
	"github.com/heddle-mesh/heddle/mesh"
)

func decode(t *testing.T, yaml string) api.Object {
	t.Helper()
	o, ps := api.Decode([]byte(yaml))
	if len(ps) > 0 {
		t.Fatal(ps)
	}
	return o
}

var addr = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })

func TestService(t *testing.T) {
	d, ps := Service(decode(t, `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop, annotations: {networking.istio.io/exportTo: "b, a"}}
spec:
  clusterIP: 10.0.0.5
  clusterIPs: [10.0.0.5, "fd00::5"]
  selector: {app: web}
  ports:
  - {name: grpc-api, port: 9000, targetPort: api}
  - {name: http, port: 80, targetPort: 8080}
`), Defaults{Domain: "cluster.local", Seen: mesh.Visibility{}})
	if len(ps) > 0 {
		t.Fatal(ps)
	}
	s := d.Services[0]
	if s.ID != (mesh.ServiceID{Namespace: "shop", Host: "web.shop.svc.cluster.local"}) || s.ShortName != "web" || s.Registry != "Kubernetes" {
		t.Errorf("%+v", s)
	}
	want := []mesh.Port{{Name: "http", Number: 80, TargetPort: 8080, Protocol: mesh.HTTP}, {Name: "grpc-api", Number: 9000, Protocol: mesh.GRPC}}
	if diff := cmp.Diff(want, s.Ports); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]netip.Addr{netip.MustParseAddr("10.0.0.5"), netip.MustParseAddr("fd00::5")}, s.Addresses, addr); diff != "" {
		t.Error(diff)
	}
	if d.Targets["grpc-api"] != (registry.Target{Name: "api"}) || !d.Slices {
		t.Errorf("%+v", d)
	}
	if !s.ExportTo.From("shop", "a") || s.ExportTo.From("shop", "c") {
		t.Errorf("exportTo %+v", s.ExportTo)
	}
}

func TestServicesThatAreNotHonoured(t *testing.T) {
	d, ps := Service(decode(t, "apiVersion: v1\nkind: Service\nmetadata: {name: x, namespace: shop}\nspec: {type: ExternalName, externalName: db.example.com}\n"), Defaults{Domain: "cluster.local", Seen: mesh.Visibility{}})
	if len(ps) != 0 || d.Services[0].Alias != "db.example.com" || len(d.Services[0].Ports) != 0 {
		t.Error(d, ps)
	}
	d, ps = Service(decode(t, "apiVersion: v1\nkind: Service\nmetadata: {name: x, namespace: shop}\nspec: {type: ExternalName, externalName: '*.example.com'}\n"), Defaults{Domain: "cluster.local", Seen: mesh.Visibility{}})
	if d != nil || len(ps) != 1 || ps[0].Field != "spec.externalName" || ps[0].Code != mesh.CodeInvalid {
		t.Error(d, ps)
	}
	_, ps = Service(decode(t, "apiVersion: v1\nkind: Service\nmetadata: {name: x, namespace: shop}\nspec: {clusterIP: nonsense, ports: [{port: 70000}]}\n"), Defaults{Domain: "cluster.local", Seen: mesh.Visibility{}})
	if len(ps) != 2 {
		t.Error(ps)
	}
	_, ps = Service(decode(t, "apiVersion: v1\nkind: Service\nmetadata: {name: x, namespace: shop}\n"+
		"spec: {ports: [{port: 80}], sessionAffinity: ClientIP, internalTrafficPolicy: Local, trafficDistribution: PreferSameNode, publishNotReadyAddresses: true}\n"), Defaults{Domain: "cluster.local", Seen: mesh.Visibility{}})
	if len(ps) != 1 || ps[0].Field != "spec.sessionAffinity" || ps[0].Code != mesh.CodeNotEnforced {
		t.Error(ps)
	}
	// What the API fills in asks for nothing.
	_, ps = Service(decode(t, "apiVersion: v1\nkind: Service\nmetadata: {name: x, namespace: shop}\nspec: {ports: [{port: 80}], sessionAffinity: None, internalTrafficPolicy: Cluster}\n"), Defaults{Domain: "cluster.local", Seen: mesh.Visibility{}})
	if len(ps) != 0 {
		t.Error(ps)
	}
	d, ps = Service(decode(t, "apiVersion: v1\nkind: Service\nmetadata: {name: x, namespace: shop}\nspec: {clusterIP: None, ports: [{port: 80}]}\n"), Defaults{Domain: "cluster.local", Seen: mesh.Visibility{}})
	if len(ps) != 0 || !d.Services[0].Headless || len(d.Services[0].Addresses) != 0 {
		t.Error(d, ps)
	}
}

func TestEndpointSlice(t *testing.T) {
	s := EndpointSlice(decode(t, `
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-x, namespace: shop, labels: {kubernetes.io/service-name: web}}
addressType: IPv6
ports: [{name: http, port: 8080}]
endpoints:
- {addresses: ["fd00::1"], targetRef: {kind: Pod, name: web-1}, hostname: web-1, zone: z1}
- {addresses: ["fd00::2"], conditions: {ready: false}}
- {addresses: ["fd00::3"], conditions: {ready: false, serving: true, terminating: true}}
- {addresses: ["fd00::4"], conditions: {ready: false, serving: false, terminating: true}}
`), "cluster.local")
	ip := netip.MustParseAddr
	want := &registry.Slice{Service: mesh.ServiceID{Namespace: "shop", Host: "web.shop.svc.cluster.local"}, Ports: map[string]uint16{"http": 8080},
		Endpoints: []registry.SliceEndpoint{
			{Addresses: []netip.Addr{ip("fd00::1")}, Pod: "web-1", Hostname: "web-1", Zone: "z1"},
			{Addresses: []netip.Addr{ip("fd00::2")}, Health: mesh.Unhealthy},
			{Addresses: []netip.Addr{ip("fd00::3")}, Health: mesh.Draining},
		}}
	if d := cmp.Diff(want, s, addr); d != "" {
		t.Error(d)
	}
}

func TestPodAndNode(t *testing.T) {
	id, in := Pod(decode(t, `
apiVersion: v1
kind: Pod
metadata:
  name: web-7d4f-abcde
  namespace: shop
  labels: {app: web, pod-template-hash: 7d4f, security.istio.io/tlsMode: istio, istio-locality: eu.eu-a.r1}
  ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web-7d4f, uid: u, controller: true}]
spec:
  nodeName: n1
  containers: [{name: web, image: web, ports: [{name: api, containerPort: 9000}]}]
status: {phase: Running, podIP: 10.1.0.1, podIPs: [{ip: 10.1.0.1}, {ip: "fd00::1"}]}
`), "c1")
	if id != (mesh.WorkloadID{Cluster: "c1", Namespace: "shop", Kind: "Pod", Name: "web-7d4f-abcde"}) {
		t.Error(id)
	}
	if in.Name != "web" || in.ServiceAccount != "default" || !in.MTLS || in.Ports["api"] != 9000 || len(in.Addresses) != 2 || in.Node != "n1" ||
		in.Locality != (mesh.Locality{Region: "eu", Zone: "eu-a", Subzone: "r1"}) {
		t.Errorf("%+v", in)
	}
	if _, in := Pod(decode(t, "apiVersion: v1\nkind: Pod\nmetadata: {name: x, namespace: shop}\nspec: {containers: []}\nstatus: {phase: Succeeded, podIP: 10.0.0.1}\n"), "c1"); in != nil {
		t.Error("a pod that ended is an instance")
	}
	if l := Node(decode(t, "apiVersion: v1\nkind: Node\nmetadata: {name: n, labels: {topology.kubernetes.io/region: eu, topology.kubernetes.io/zone: eu-a}}\n")); l != (mesh.Locality{Region: "eu", Zone: "eu-a"}) {
		t.Error(l)
	}
}
