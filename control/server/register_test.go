package server

import (
	"strings"
	"testing"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/xds"
)

// vms is a service of workloads that are not there yet.
const vms = `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {name: web-vms, namespace: shop}
spec:
  metadata: {labels: {app: web}}
  template: {ports: {http: 9090}, serviceAccount: web, labels: {tier: front}}
  probe: {httpGet: {port: 9090}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: by-hand, namespace: shop, annotations: {proxy.istio.io/health-checks-enabled: "true"}}
spec: {address: 10.0.0.8, labels: {app: hand}, serviceAccount: web}
---
apiVersion: v1
kind: Service
metadata: {name: hand, namespace: shop}
spec: {selector: {app: hand}, ports: [{name: http, port: 80, targetPort: 8080}]}
`

const handCluster = "outbound|80||hand.shop.svc.cluster.local"

// tell says as an agent does what a probe found; "" is that all is well.
func (c *adsClient) tell(wrong string) {
	c.t.Helper()
	r := &discoveryv3.DeltaDiscoveryRequest{TypeUrl: xds.Health}
	if wrong != "" {
		r.ErrorDetail = &rpcstatus.Status{Code: 500, Message: wrong}
	}
	if err := c.stream.Send(r); err != nil {
		c.t.Fatal(err)
	}
}

// has says whether a cluster has an endpoint with a text in it, such as its address.
func (c *adsClient) has(cluster, text string) bool {
	return strings.Contains(string(c.held[xds.Endpoints][cluster]), text)
}

// A workload comes, is well, is not, is again, and goes: others hear of it by its group and by what its probe finds.
func TestRegisteredWorkload(t *testing.T) {
	m := startMesh(t, vms, func(o *Options) { o.EntryGrace = 300 * time.Millisecond })
	client := m.connect("client-1", "client")
	client.subscribe(xds.Endpoints, webCluster, handCluster)
	client.until("the service without workloads", func() bool { return client.held[xds.Endpoints][webCluster] != nil })
	workload := m.connect("vm-1", "web", "AUTO_REGISTER_GROUP=web-vms", `PROXY_CONFIG={"readinessProbe": {"httpGet": {"port": 9090}}}`)
	workload.subscribe(xds.Listener, "*")
	workload.until("what arrives at the registered port", func() bool {
		return strings.Contains(string(workload.held[xds.Listener]["virtualInbound"]), "inbound|9090||")
	})
	if client.has(webCluster, "10.0.0.7") {
		t.Error("the workload is called before its probe succeeded")
	}
	workload.tell("")
	client.until("the workload is well", func() bool { return client.has(webCluster, "10.0.0.7") })
	workload.tell("status 503")
	client.until("the workload is not well", func() bool { return !client.has(webCluster, "10.0.0.7") })
	workload.tell("")
	client.until("the workload is well again", func() bool { return client.has(webCluster, "10.0.0.7") })
	workload.cancel()
	client.until("the workload is gone", func() bool { return !client.has(webCluster, "10.0.0.7") })
	m.wait("its entry is gone", func() bool {
		_, there := m.d.store.Get(api.Ref{Group: api.GroupNetworking, Kind: "WorkloadEntry", Namespace: "shop", Name: "web-vms-10.0.0.7"})
		return !there
	})
}

// An entry that somebody wrote takes traffic when its proxy says that its workload is well; when the file is read again that counts still.
func TestWorkloadByHand(t *testing.T) {
	m := startMesh(t, vms, func(o *Options) { o.EntryGrace = 300 * time.Millisecond })
	client := m.connect("client-1", "client")
	client.subscribe(xds.Endpoints, handCluster)
	client.until("the service without workloads", func() bool { return client.held[xds.Endpoints][handCluster] != nil })
	workload := m.connect("vm-1", "web", "WORKLOAD_ENTRY=by-hand")
	workload.subscribe(xds.Listener, "*")
	workload.tell("")
	client.until("the workload is well", func() bool { return client.has(handCluster, "10.0.0.8") })
	m.write("mesh.yaml", strings.Replace(vms, "10.0.0.8", "10.0.0.9", 1))
	client.until("the workload has another address", func() bool { return client.has(handCluster, "10.0.0.9") })
	workload.cancel()
	client.until("nobody knows whether the workload is well", func() bool { return !client.has(handCluster, "10.0.0.9") })
}

// A group that breaks goes on as it was; one that never was valid registers nobody.
func TestBrokenGroups(t *testing.T) {
	m := startMesh(t, vms)
	m.write("mesh.yaml", strings.NewReplacer("http: 9090", "http: 9191", "probe: {httpGet: {port: 9090}}", "probe: {periodSeconds: 1}").Replace(vms)+`
---
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {name: never, namespace: shop}
spec: {probe: {tcpSocket: {port: 1}}}
`)
	ref := api.Ref{Group: api.GroupNetworking, Kind: "WorkloadGroup", Namespace: "shop", Name: "never"}
	m.wait("the groups are read", func() bool { _, there := m.d.store.Get(ref); return there })
	workload := m.connect("vm-1", "web", "AUTO_REGISTER_GROUP=web-vms")
	workload.subscribe(xds.Listener, "*")
	workload.until("what arrives at the registered port", func() bool {
		return strings.Contains(string(workload.held[xds.Listener]["virtualInbound"]), "inbound|9090||")
	})
	never := m.connect("vm-2", "web", "AUTO_REGISTER_GROUP=never")
	never.subscribe(xds.Listener, "*")
	if _, err := never.stream.Recv(); err == nil || !strings.Contains(err.Error(), "WorkloadGroup shop/never, which is not valid; its status says why") {
		t.Error(err)
	}
}

func TestRefusedRegistrations(t *testing.T) {
	m := startMesh(t, vms)
	for _, c := range []struct{ account, metadata, want string }{
		{"web", "AUTO_REGISTER_GROUP=other", "WorkloadGroup shop/other, which does not exist"},
		{"client", "AUTO_REGISTER_GROUP=web-vms", "WorkloadGroup shop/web-vms is for service account web, but the proxy's credential is for client"},
		{"web", "WORKLOAD_ENTRY=other", "WorkloadEntry shop/other, which does not exist"},
		{"client", "WORKLOAD_ENTRY=by-hand", "WorkloadEntry shop/by-hand is for service account web"},
	} {
		proxy := m.connect("vm-1", c.account, c.metadata)
		proxy.subscribe(xds.Listener, "*")
		if _, err := proxy.stream.Recv(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s of %s: %v, want %q", c.metadata, c.account, err, c.want)
		}
	}
}
