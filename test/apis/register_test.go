package apis

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/heddle-mesh/heddle/control/server"
	"github.com/heddle-mesh/heddle/control/token"
	"github.com/heddle-mesh/heddle/xds"
	"github.com/heddle-mesh/heddle/xds/client"
)

const machines = `
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{name: http, port: 80}]}
---
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {name: vms, namespace: shop}
spec: {metadata: {labels: {app: web}, annotations: {team: payments}}, template: {serviceAccount: web, ports: {http: 8080}}}
`

const workloadEntry = "networking.istio.io/v1 WorkloadEntry"

// machine is a proxy outside of the cluster, and what it is told.
type machine struct {
	*client.Client
	stop func()
	mu   sync.Mutex
	body string
}

func (m *machine) OnResponse(_ string, added []*xds.Resource, _ []string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range added {
		m.body = string(r.Body)
	}
	return nil
}

func (m *machine) OnStream(bool, error) {}

func (m *machine) knows(text string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return strings.Contains(m.body, text)
}

// connect opens a stream to a control plane's socket.
func connect(t *testing.T, socket, tokens, ip string, metadata map[string]any) *machine {
	t.Helper()
	secret, err := token.Issue(tokens, "web-"+strings.ReplaceAll(ip, ".", "-"), token.Claims{Namespace: "shop", ServiceAccount: "web"})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	md, err := structpb.NewStruct(metadata)
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{}
	if m.Client, err = client.New(client.Config{Target: "unix:" + socket, TokenFile: file, Node: &corev3.Node{Id: "sidecar~" + ip + "~vm.shop~shop.svc.cluster.local", Metadata: md}, Handler: m}); err != nil {
		t.Fatal(err)
	}
	m.Subscribe(xds.Endpoints, "outbound|80||web.shop.svc.cluster.local")
	ctx, cancel := context.WithCancel(context.Background())
	var ended sync.WaitGroup
	ended.Go(func() { _ = m.Run(ctx) })
	m.stop = sync.OnceFunc(func() { cancel(); ended.Wait() })
	t.Cleanup(m.stop)
	return m
}

// Workloads that register are objects of the API: every control plane reads them, the one with the newest connection writes them, and they go with their proxy or their group.
func TestWorkloadsRegister(t *testing.T) {
	a := startAPI(t)
	a.apply(machines)
	dir, err := os.MkdirTemp("", "reg") // a test's own folder has too long a name for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	tokens := filepath.Join(dir, "tokens")
	if err := os.Mkdir(tokens, 0o700); err != nil {
		t.Fatal(err)
	}
	socket := func(n int) string { return filepath.Join(dir, fmt.Sprint(n)) }
	for n := range 2 {
		c := startControl(t, server.Options{Kubeconfig: a.kubeconfig("heddled"), XDSSockets: []string{socket(n)}, JoinTokens: tokens, EntryGrace: time.Second, LeaderElection: true})
		until(t, "heddled is ready", func() bool { code, _ := c.ready(); return code == 200 })
	}
	onlooker := connect(t, socket(1), tokens, "10.0.0.9", nil)
	node := map[string]any{"AUTO_REGISTER_GROUP": "vms", "PROXY_CONFIG": `{"readinessProbe": {"tcpSocket": {"port": 8080}}}`}
	first := connect(t, socket(0), tokens, "10.0.0.1", node)
	name := "vms-10.0.0.1"
	until(t, "the entry is there", func() bool { return a.get(workloadEntry, "shop", name) != nil })
	u := a.get(workloadEntry, "shop", name)
	group := a.get("networking.istio.io/v1 WorkloadGroup", "shop", "vms")
	if refs := u.GetOwnerReferences(); len(refs) != 1 || refs[0].UID != group.GetUID() || u.GetAnnotations()["istio.io/autoRegistrationGroup"] != "vms" || u.GetAnnotations()["team"] != "payments" || u.GetLabels()["app"] != "web" {
		t.Errorf("%s", text(t, u))
	}
	until(t, "the status says that it is accepted", func() bool { return strings.HasPrefix(a.condition(workloadEntry, "shop", name, "Accepted"), "True") })
	if onlooker.knows("10.0.0.1") {
		t.Error("the workload is called before anybody said that it is well")
	}
	first.Health(true, "")
	until(t, "others call the workload", func() bool { return onlooker.knows("10.0.0.1") })
	first.Health(false, "connection refused")
	until(t, "nobody calls the workload", func() bool { return !onlooker.knows("10.0.0.1") })
	if got := a.condition(workloadEntry, "shop", name, "Healthy"); got != "False ProbeFailed connection refused" {
		t.Error(got)
	}
	if got := a.condition(workloadEntry, "shop", name, "Accepted"); !strings.HasPrefix(got, "True") {
		t.Error("the other conditions stay: ", got)
	}

	// A newer connection to the other control plane has the entry, whatever becomes of the older one.
	before := u.GetAnnotations()["istio.io/connectedAt"]
	second := connect(t, socket(1), tokens, "10.0.0.1", node)
	until(t, "the newer connection has the entry", func() bool {
		return a.get(workloadEntry, "shop", name).GetAnnotations()["istio.io/connectedAt"] > before
	})
	second.Health(true, "")
	until(t, "others call the workload again", func() bool { return onlooker.knows("10.0.0.1") })
	second.stop()
	until(t, "the entry is gone", func() bool { return a.get(workloadEntry, "shop", name) == nil })
	until(t, "nobody calls the workload", func() bool { return !onlooker.knows("10.0.0.1") })
	first.stop()

	connect(t, socket(0), tokens, "10.0.0.2", node)
	until(t, "another workload's entry is there", func() bool { return a.get(workloadEntry, "shop", "vms-10.0.0.2") != nil })
	a.remove("networking.istio.io/v1 WorkloadGroup", "shop", "vms")
	until(t, "the entry goes with its group", func() bool { return a.get(workloadEntry, "shop", "vms-10.0.0.2") == nil })
}
