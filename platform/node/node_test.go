package node

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	ktesting "k8s.io/client-go/testing"

	"github.com/heddle-mesh/heddle/data/node/chain"
	"github.com/heddle-mesh/heddle/data/node/enrol"
)

const list = `{"cniVersion":"1.0.0","name":"lab","plugins":[{"type":"bridge"}]}`

// node is an agent on a node that is a folder.
type node struct {
	*Agent
	kube     *fake.Clientset
	registry *prometheus.Registry
	conf     string
	stop     context.CancelFunc
	done     chan error
}

func start(t *testing.T, repair Repair, objects ...runtime.Object) *node {
	t.Helper()
	dir := t.TempDir()
	n := &node{kube: fake.NewClientset(objects...), conf: filepath.Join(dir, "net.d", "10-lab.conflist"), done: make(chan error, 1)}
	for path, text := range map[string]string{n.conf: list, filepath.Join(dir, "heddle-cni"): "program"} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o755)); err != nil {
			t.Fatal(err)
		}
	}
	n.Agent, n.registry = New(Options{Node: "node1", Namespace: "istio-system", DaemonSet: "heddle-node", Socket: filepath.Join(dir, "run", "cni.sock"), HTTPAddress: "127.0.0.1:0", Repair: repair, Kube: n.kube,
		Place: chain.Place{BinDir: filepath.Join(dir, "bin"), ConfDir: filepath.Dir(n.conf), Program: filepath.Join(dir, "heddle-cni"), Kind: "heddle-cni", Entry: []byte(`{"type":"heddle-cni"}`)},
		Log:   slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(context.Background())
	n.stop = cancel
	go func() { n.done <- n.Run(ctx, n.registry) }()
	t.Cleanup(cancel)
	eventually(t, "the agent is ready", func() bool { return n.installed.Load() && n.synced() })
	return n
}

func (n *node) end(t *testing.T) {
	t.Helper()
	n.stop()
	if err := <-n.done; err != nil {
		t.Error(err)
	}
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for range 1000 {
		if is() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("in vain: " + what)
}

func pod(name string, change func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: types.UID("uid-" + name), Annotations: map[string]string{}, Labels: map[string]string{}}, Spec: corev1.PodSpec{NodeName: "node1"}}
	change(p)
	return p
}

func wants(args string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Annotations["heddle.dev/capture"] = args }
}

func TestEnrol(t *testing.T) {
	n := start(t, RepairNothing, pod("web", wants(`["-m","REDIRECT","-d","15020","--redirect-dns"]`)), pod("plain", func(*corev1.Pod) {}), pod("broken", wants(`["-m","BOTH"]`)), pod("odd", wants(`-m BOTH`)),
		pod("static", func(p *corev1.Pod) { p.Annotations["kubernetes.io/config.mirror"] = "hash" }))
	ask := func(name, uid string) (*enrol.Answer, error) {
		c, err := enrol.Dial(n.o.Socket, time.Second)
		if err != nil {
			return nil, err
		}
		defer c.Close()
		a, err := c.Ask(enrol.Pod{Namespace: "shop", Name: name, UID: uid})
		if err == nil && a.Capture != nil {
			err = c.Tell(enrol.Report{Way: "nftables", Fell: "ebpf does not work: old kernel"})
		}
		return a, err
	}
	if a, err := ask("web", "uid-web"); err != nil || a.Capture == nil || !a.Capture.DNS || len(a.Capture.ExcludeInboundPorts) != 1 {
		t.Errorf("%+v %v", a, err)
	}
	if a, err := ask("web", ""); err != nil || a.Capture == nil {
		t.Errorf("a runtime that tells no uid: %+v %v", a, err)
	}
	for _, x := range []struct{ name, uid, skip, fault string }{
		{"plain", "uid-plain", "does not ask", ""}, {"static", "hash", "does not ask", ""}, {"web", "uid-older", "", "another one of this name"}, {"gone", "u", "", "not found"},
		{"broken", "uid-broken", "", "metadata.annotations[heddle.dev/capture]: -m"}, {"odd", "uid-odd", "", "JSON array"},
	} {
		if a, err := ask(x.name, x.uid); err != nil || a.Capture != nil || !strings.Contains(a.Skip, x.skip) || !strings.Contains(a.Error, x.fault) || (a.Skip == "") == (a.Error == "") {
			t.Errorf("%s: %+v %v", x.name, a, err)
		}
	}
	// Pods of this node are known while the API is away.
	n.kube.PrependReactor("get", "pods", func(ktesting.Action) (bool, runtime.Object, error) { return true, nil, errors.New("away") })
	if a, err := ask("web", "uid-web"); err != nil || a.Capture == nil {
		t.Errorf("%+v %v", a, err)
	}
	if a, err := ask("new", "u"); err != nil || !strings.Contains(a.Error, "ask the Kubernetes API for the pod: away") {
		t.Errorf("%+v %v", a, err)
	}
	eventually(t, "the way of capture is told", func() bool {
		w := httptest.NewRecorder()
		n.pages(n.registry).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/captures", nil))
		return w.Body.String() == `{"way":"nftables","fell":"ebpf does not work: old kernel"}`+"\n"
	})
	eventually(t, "they are counted", func() bool {
		w := httptest.NewRecorder()
		n.pages(n.registry).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		return strings.Contains(w.Body.String(), `heddle_node_pods_total{result="nftables"} 3`) && strings.Contains(w.Body.String(), `heddle_node_pods_total{result="skipped"} 2`) &&
			strings.Contains(w.Body.String(), `heddle_node_pods_total{result="unknown"} 5`) && strings.Contains(w.Body.String(), `heddle_node_way{way="nftables"} 1`)
	})
	n.end(t)
}

// TestCaptures: the next agent knows what pods have shown to the last one; a pod that was captured before shows nothing; and an agent that leaves takes it along.
func TestCaptures(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "cni.sock")
	agent := func() *Agent {
		a, _ := New(Options{Socket: socket, Log: slog.New(slog.DiscardHandler)})
		a.captures.read()
		return a
	}
	says := func(want string) {
		t.Helper()
		w := httptest.NewRecorder()
		a, r := New(Options{Socket: socket, Log: slog.New(slog.DiscardHandler)})
		a.captures.read()
		a.pages(r).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/captures", nil))
		if got := strings.TrimSpace(w.Body.String()); got != want {
			t.Errorf("the next agent says %s, want %s", got, want)
		}
	}
	says(`{"way":""}`)
	agent().Reported(enrol.Pod{}, enrol.Report{Way: "nftables", Fell: "old kernel"})
	agent().Reported(enrol.Pod{}, enrol.Report{Way: "ebpf", Again: true})
	agent().Reported(enrol.Pod{}, enrol.Report{Error: "no way"})
	says(`{"way":"nftables","fell":"old kernel"}`)
	agent().Reported(enrol.Pod{}, enrol.Report{Way: "ebpf"})
	says(`{"way":"ebpf"}`)
	if err := agent().captures.remove(); err != nil {
		t.Error(err)
	}
	says(`{"way":""}`)
}

// failed is a pod whose validation has found nothing that captures it.
func failed(p *corev1.Pod) {
	p.Status.InitContainerStatuses = []corev1.ContainerStatus{{Name: "istio-validation", LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 126}}}}
}

func owned(p *corev1.Pod) {
	failed(p)
	p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "web", Controller: new(true)}}
}

func TestRepair(t *testing.T) {
	for _, x := range []struct {
		repair               Repair
		ownedGone, bareGone  bool
		ownedLabel, bareMark string
	}{{RepairDelete, true, false, "", "true"}, {RepairLabel, false, false, "true", "true"}, {RepairNothing, false, false, "", ""}} {
		other := pod("other", func(p *corev1.Pod) {
			failed(p)
			p.Status.InitContainerStatuses[0].LastTerminationState.Terminated.ExitCode = 1
		})
		n := start(t, x.repair, pod("owned", owned), pod("bare", failed), other)
		eventually(t, "both are told", func() bool { return len(events(t, n, "NotCaptured")) == 2 })
		eventually(t, "both are dealt with", func() bool {
			for name, want := range map[string]struct {
				gone bool
				mark string
			}{"owned": {x.ownedGone, x.ownedLabel}, "bare": {x.bareGone, x.bareMark}, "other": {false, ""}} {
				p, err := n.kube.CoreV1().Pods("shop").Get(t.Context(), name, metav1.GetOptions{})
				if apierrors.IsNotFound(err) != want.gone || err == nil && p.Labels["heddle.dev/uncaptured"] != want.mark {
					return false
				}
			}
			return true
		})
		n.end(t)
	}
}

func events(t *testing.T, n *node, reason string) (messages []string) {
	t.Helper()
	list, err := n.kube.CoreV1().Events("").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list.Items {
		if e.Reason == reason {
			messages = append(messages, e.InvolvedObject.Name+": "+e.Message)
		}
	}
	return messages
}

func TestPodsOnTheNodesNetworkAreTold(t *testing.T) {
	space := func(name string, labels map[string]string) *corev1.Namespace {
		return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
	}
	host := func(namespace, inject string) *corev1.Pod {
		return pod("p"+namespace+inject, func(p *corev1.Pod) {
			p.Namespace, p.Spec.HostNetwork = namespace, true
			if inject != "" {
				p.Labels["sidecar.istio.io/inject"] = inject
			}
		})
	}
	n := start(t, RepairNothing, space("mesh", map[string]string{"istio-injection": "enabled"}), space("rev", map[string]string{"istio.io/rev": "x"}), space("no", map[string]string{"istio-injection": "disabled", "istio.io/rev": "x"}), space("plain", nil),
		host("mesh", ""), host("mesh", "false"), host("rev", ""), host("no", ""), host("plain", ""), host("plain", "true"), pod("ordinary", func(p *corev1.Pod) { p.Namespace = "mesh" }))
	eventually(t, "three are told", func() bool { return len(events(t, n, "NotInjected")) == 3 })
	n.end(t)
	got := strings.Join(events(t, n, "NotInjected"), "\n")
	for _, name := range []string{"pmesh: ", "prev: ", "pplaintrue: "} {
		if !strings.Contains(got, name+"the pod uses the network of the node") {
			t.Errorf("%s is not told: %s", name, got)
		}
	}
}

// TestLeaving: only an agent that is removed takes the plug-in along.
func TestLeaving(t *testing.T) {
	set := &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: "istio-system", Name: "heddle-node"}}
	going := set.DeepCopy()
	going.DeletionTimestamp, going.Finalizers = new(metav1.Now()), []string{"foregroundDeletion"}
	fails := func(err error) func(*fake.Clientset) {
		return func(k *fake.Clientset) {
			k.PrependReactor("get", "daemonsets", func(ktesting.Action) (bool, runtime.Object, error) { return true, nil, err })
		}
	}
	for name, x := range map[string]struct {
		objects []runtime.Object
		change  func(*fake.Clientset)
		stays   bool
	}{
		"replaced":          {[]runtime.Object{set}, nil, true},
		"being removed":     {[]runtime.Object{going}, nil, false},
		"removed":           {nil, nil, false},
		"without rights":    {[]runtime.Object{set}, fails(apierrors.NewForbidden(appsv1.Resource("daemonsets"), "heddle-node", nil)), false},
		"the API is away":   {nil, fails(errors.New("connection refused")), true},
		"no token any more": {[]runtime.Object{set}, fails(apierrors.NewUnauthorized("gone")), false},
	} {
		n := start(t, RepairNothing, x.objects...)
		if x.change != nil {
			x.change(n.kube)
		}
		n.Reported(enrol.Pod{}, enrol.Report{Way: "ebpf"})
		n.end(t)
		if _, err := os.Stat(n.captures.path); (err == nil) != x.stays {
			t.Errorf("%s: what is known of the way of capture: %v", name, err)
		}
		text, err := os.ReadFile(n.conf)
		_, program := os.Stat(filepath.Join(n.o.Place.BinDir, "heddle-cni"))
		_, socket := os.Lstat(n.o.Socket)
		if err != nil || strings.Contains(string(text), "heddle-cni") != x.stays || (program == nil) != x.stays || (socket == nil) != x.stays || !x.stays && string(text) != list {
			t.Errorf("%s: %s, program %v, socket %v (%v)", name, text, program, socket, err)
		}
	}
}

// TestProgramsStayForPods: kernel programs go with the agent, unless a pod would call past its proxy without them.
func TestProgramsStayForPods(t *testing.T) {
	ended := func(p *corev1.Pod) { wants("[]")(p); p.Status.Phase = corev1.PodFailed }
	for name, x := range map[string]struct {
		pod   *corev1.Pod
		stays bool
	}{"no captured pod": {pod("plain", func(*corev1.Pod) {}), false}, "a pod that has ended": {pod("ended", ended), false}, "a captured pod": {pod("web", wants("[]")), true}} {
		n := start(t, RepairNothing, x.pod)
		gone := false
		n.o.Pinned, n.o.Unpin = func() bool { return true }, func() error { gone = true; return nil }
		n.end(t)
		if gone == x.stays {
			t.Errorf("%s: the programs are gone: %t", name, gone)
		}
	}
}

func TestReadiness(t *testing.T) {
	n := start(t, RepairNothing)
	status := func() int {
		w := httptest.NewRecorder()
		n.pages(n.registry).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/ready", nil))
		return w.Code
	}
	if got := status(); got != http.StatusOK {
		t.Errorf("ready: %d", got)
	}
	if err := os.WriteFile(n.conf, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a broken network configuration is told", func() bool { return status() == http.StatusServiceUnavailable })
	if err := os.WriteFile(n.conf, []byte(list), 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "and its repair", func() bool { return status() == http.StatusOK })
	n.end(t)
}
