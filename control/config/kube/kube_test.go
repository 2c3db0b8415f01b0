package kube

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"
	k8stesting "k8s.io/client-go/testing"
	"sigs.k8s.io/yaml"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/config"
	"github.com/heddle-mesh/heddle/control/token"
)

// resources is a discovery whose answer the test changes.
type resources struct {
	discovery.DiscoveryInterface
	mu     sync.Mutex
	served map[string][]string // group/version → plurals
}

func (r *resources) ServerResourcesForGroupVersion(gv string) (*metav1.APIResourceList, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	names, ok := r.served[gv]
	if !ok {
		return nil, apierrors.NewNotFound(schema.GroupResource{}, gv)
	}
	list := &metav1.APIResourceList{GroupVersion: gv}
	for _, n := range names {
		list.APIResources = append(list.APIResources, metav1.APIResource{Name: n})
	}
	return list, nil
}

func (r *resources) RESTClient() rest.Interface { return nil }

func (r *resources) set(gv string, names ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.served[gv] = names
}

// lab is a fake API and a source that follows it.
type lab struct {
	t     *testing.T
	found *resources
	dyn   *dynamicfake.FakeDynamicClient
	store *config.Store
	src   *Source
}

var (
	virtualServices = schema.GroupVersionResource{Group: api.GroupNetworking, Version: "v1", Resource: "virtualservices"}
	services        = schema.GroupVersionResource{Version: "v1", Resource: "services"}
)

func newLab(t *testing.T, objects ...runtime.Object) *lab {
	kinds := map[schema.GroupVersionResource]string{}
	for _, k := range api.Kinds {
		for _, v := range k.Versions {
			kinds[schema.GroupVersionResource{Group: k.Group, Version: v, Resource: k.Plural}] = k.Kind + "List"
		}
	}
	l := &lab{t: t, found: &resources{served: map[string][]string{"v1": {"services", "pods"}}}, store: config.New(Only.String()),
		dyn: dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), kinds, objects...)}
	l.src = NewSource(&Client{dynamic: l.dyn, discovery: l.found}, l.store, slog.New(slog.DiscardHandler))
	return l
}

func (l *lab) start() *lab {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = l.src.Run(ctx) }()
	l.t.Cleanup(func() { cancel(); <-done })
	return l
}

func (l *lab) wait(what string, ok func() bool) {
	l.t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			l.t.Fatalf("did not happen: %s; complaints %v", what, l.store.Complaints())
		}
	}
}

func thing(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	j, err := yaml.YAMLToJSON([]byte(text))
	if err == nil {
		err = u.UnmarshalJSON(j)
	}
	if err != nil {
		t.Fatal(err)
	}
	return u
}

const webService = `
apiVersion: v1
kind: Service
metadata:
  name: web
  namespace: shop
  resourceVersion: "7"
  managedFields: [{manager: kubectl}]
  annotations: {kubectl.kubernetes.io/last-applied-configuration: "{}"}
spec: {ports: [{port: 80}], someFieldOfTomorrow: 1}
`

const webRoute = `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: shop, resourceVersion: "9"}
spec: {hosts: [web], http: [{route: [{destination: {host: web}}]}]}
`

func ref(group, kind, name string) api.Ref {
	return api.Ref{Group: group, Kind: kind, Namespace: "shop", Name: name}
}

func TestKindsThatComeLater(t *testing.T) {
	l := newLab(t, thing(t, webService)).start()
	<-l.store.Complete()
	e, ok := l.store.Get(ref("", "Service", "web"))
	if !ok || len(e.Problems) > 0 || len(e.Object.Meta.Annotations) > 0 {
		t.Fatalf("%+v: a field that this build does not know is no mistake of a Service", e)
	}
	if svc := e.Object.Spec.(*corev1.Service); svc.ResourceVersion != "" || svc.ManagedFields != nil {
		t.Error("parts that only the API needs are kept")
	}
	if _, err := l.dyn.Resource(virtualServices).Namespace("shop").Create(context.Background(), thing(t, webRoute), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	l.found.set("networking.istio.io/v1", "virtualservices")
	route := ref(api.GroupNetworking, "VirtualService", "web")
	l.wait("the definition of a kind is installed and its objects are seen", func() bool { _, ok := l.store.Get(route); return ok })
	if gvr, ok := l.src.Served(api.Find(api.GroupNetworking, "VirtualService")); !ok || gvr != virtualServices {
		t.Error(gvr, ok)
	}
	changed := thing(t, strings.Replace(webRoute, "hosts: [web]", "hosts: [other]", 1))
	if _, err := l.dyn.Resource(virtualServices).Namespace("shop").Update(context.Background(), changed, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	l.wait("a change", func() bool {
		e, _ := l.store.Get(route)
		return e != nil && e.Object.Spec.(interface{ GetHosts() []string }).GetHosts()[0] == "other"
	})
	if err := l.dyn.Resource(services).Namespace("shop").Delete(context.Background(), "web", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	l.wait("a removal", func() bool { _, ok := l.store.Get(ref("", "Service", "web")); return !ok })
}

// A kind that cannot be watched is told, and the source is not complete: without its policies a mesh would allow too much.
func TestForbiddenKind(t *testing.T) {
	l := newLab(t, thing(t, webService))
	var mu sync.Mutex
	forbidden := true
	l.dyn.PrependReactor("list", "pods", func(k8stesting.Action) (bool, runtime.Object, error) {
		mu.Lock()
		defer mu.Unlock()
		if forbidden {
			return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "", errors.New("not allowed"))
		}
		return false, nil, nil
	})
	l.start()
	l.wait("the complaint", func() bool {
		ps := l.store.Complaints()
		return len(ps) == 1 && ps[0].Object.Name == "Pod" && strings.Contains(ps[0].Message, "cannot be watched")
	})
	select {
	case <-l.store.Complete():
		t.Error("complete without a kind that is served")
	default:
	}
	mu.Lock()
	forbidden = false
	mu.Unlock()
	l.wait("the kind is allowed", func() bool {
		select {
		case <-l.store.Complete():
			return len(l.store.Complaints()) == 0
		default:
			return false
		}
	})
}

// A kind that vanishes from discovery keeps its objects for a while: an API that starts says so of kinds that it will serve.
func TestVanishedKindKeepsItsObjectsAtFirst(t *testing.T) {
	l := newLab(t, thing(t, webRoute))
	l.found.set("networking.istio.io/v1", "virtualservices")
	l.start()
	<-l.store.Complete()
	l.found.set("networking.istio.io/v1")
	if _, err := l.src.discover(t.Context()); err != nil {
		t.Fatal(err)
	}
	kind := api.Find(api.GroupNetworking, "VirtualService")
	if _, ok := l.store.Get(ref(api.GroupNetworking, "VirtualService", "web")); !ok {
		t.Error("its objects went at once")
	}
	l.src.mu.Lock()
	l.src.watching[kind].seen = time.Now().Add(-time.Hour)
	l.src.mu.Unlock()
	if _, err := l.src.discover(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, ok := l.store.Get(ref(api.GroupNetworking, "VirtualService", "web")); ok {
		t.Error("its objects stay for ever")
	}
}

func TestWriteStatus(t *testing.T) {
	l := newLab(t, thing(t, webRoute))
	l.found.set("networking.istio.io/v1", "virtualservices")
	l.start()
	<-l.store.Complete()
	e, _ := l.store.Get(ref(api.GroupNetworking, "VirtualService", "web"))
	doc := map[string]any{"conditions": []any{map[string]any{"type": "Accepted", "status": "True"}}}
	if err := l.src.WriteStatus(t.Context(), e.Object, doc); err != nil {
		t.Fatal(err)
	}
	var patch k8stesting.PatchAction
	for _, a := range l.dyn.Actions() {
		if p, ok := a.(k8stesting.PatchAction); ok {
			patch = p
		}
	}
	if patch == nil || patch.GetSubresource() != "status" || !strings.Contains(string(patch.GetPatch()), `"resourceVersion":"9"`) {
		t.Errorf("patch %+v", patch)
	}
	l.dyn.PrependReactor("patch", "*", func(a k8stesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewConflict(schema.GroupResource{}, "web", errors.New("changed"))
	})
	if err := l.src.WriteStatus(t.Context(), e.Object, doc); !errors.Is(err, config.ErrStale) {
		t.Error(err)
	}
	gone := e.Object
	gone.Kind = api.Find(api.GroupNetworking, "Sidecar")
	if err := l.src.WriteStatus(t.Context(), gone, doc); !errors.Is(err, config.ErrGone) {
		t.Error(err)
	}
}

func TestTokens(t *testing.T) {
	typed := fake.NewClientset()
	var status authenticationv1.TokenReviewStatus
	var asked []string
	typed.PrependReactor("create", "tokenreviews", func(a k8stesting.Action) (bool, runtime.Object, error) {
		r := a.(k8stesting.CreateAction).GetObject().(*authenticationv1.TokenReview)
		asked = r.Spec.Audiences
		r.Status = status
		return true, r, nil
	})
	tokens := (&Client{reviews: typed}).Tokens()
	status = authenticationv1.TokenReviewStatus{Authenticated: true, User: authenticationv1.UserInfo{Username: "system:serviceaccount:shop:web"}}
	c, err := tokens.Review(t.Context(), "a.b.c")
	if err != nil || c.Namespace != "shop" || c.ServiceAccount != "web" || len(asked) != 2 {
		t.Error(c, err, asked)
	}
	status.User.Username = "admin"
	if _, err := tokens.Review(t.Context(), "a.b.c"); err == nil {
		t.Error("a user's token was taken for a service account's")
	}
	status = authenticationv1.TokenReviewStatus{Error: "token audiences are wrong"}
	if _, err := tokens.Review(t.Context(), "a.b.c"); err == nil || !strings.Contains(err.Error(), "audiences") {
		t.Error(err)
	}
	asked = nil
	if _, err := tokens.Review(t.Context(), "opaque"); !errors.Is(err, token.ErrUnknown) || asked != nil {
		t.Error("a join token was shown to the API", err)
	}
}

func TestRegister(t *testing.T) {
	typed := fake.NewClientset()
	c := &Client{typed: typed}
	hooks := typed.AdmissionregistrationV1().ValidatingWebhookConfigurations()
	w := Webhook{Name: "heddled-istio-system", URL: "https://127.0.0.1:1/validate", CA: []byte("ca")}
	for range 2 {
		if err := c.register(t.Context(), w); err != nil {
			t.Fatal(err)
		}
	}
	got, err := hooks.Get(t.Context(), w.Name, metav1.GetOptions{})
	if err != nil || len(got.Webhooks) != 3 || *got.Webhooks[0].FailurePolicy != "Fail" || *got.Webhooks[1].FailurePolicy != "Ignore" {
		t.Fatal(got, err)
	}
	covered := map[string]int{}
	for _, h := range got.Webhooks {
		for _, r := range h.Rules {
			covered[r.APIGroups[0]+"/"+r.Resources[0]]++
		}
	}
	for _, k := range api.Kinds {
		want := 0
		if k.Istio() || k.Gateway() || k.Conditioned() {
			want = 1
		}
		if n := covered[k.Group+"/"+k.Plural]; n != want {
			t.Errorf("%s is in %d webhooks", k.Name(), n)
		}
	}
	writes := len(typed.Actions())
	w.URL = "https://127.0.0.1:2/validate"
	if err := c.register(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	if got, _ = hooks.Get(t.Context(), w.Name, metav1.GetOptions{}); *got.Webhooks[1].ClientConfig.URL != w.URL || len(typed.Actions()) == writes {
		t.Error("a new address was not written")
	}
	// The role that owns it was made anew: with the old one the registration would never be collected, or at any time.
	w.Owners = []metav1.OwnerReference{{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "ClusterRole", Name: "heddled-istio-system", UID: "new"}}
	if err := c.register(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	if got, _ = hooks.Get(t.Context(), w.Name, metav1.GetOptions{}); len(got.OwnerReferences) != 1 || got.OwnerReferences[0].UID != "new" {
		t.Errorf("it belongs to %v", got.OwnerReferences)
	}
}

// TestReviewsLeaveTheLeaseItsBudget: a fleet of proxies that comes back at once must not make the leader lose its Lease.
func TestReviewsLeaveTheLeaseItsBudget(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kubeconfig")
	const text = `{apiVersion: v1, kind: Config, clusters: [{name: a, cluster: {server: "http://127.0.0.1:1"}}], contexts: [{name: a, context: {cluster: a}}], current-context: a}`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Open(Only, path)
	if err != nil {
		t.Fatal(err)
	}
	crowd := c.Tokens().(reviewer).client.reviews.AuthenticationV1().RESTClient().GetRateLimiter()
	for n := 0; crowd.TryAccept() && n < 1_000_000; n++ {
	}
	if !c.typed.CoordinationV1().RESTClient().GetRateLimiter().TryAccept() {
		t.Error("when many tokens are reviewed the Lease has to wait")
	}
}

// Of two APIs each has the webhooks for its kinds, and each kind is in one of either.
func TestRegisterInTwo(t *testing.T) {
	for role, names := range map[Role]string{Config: "security.heddle.dev config.heddle.dev elsewhere.heddle.dev", Cluster: "core.heddle.dev"} {
		w := Webhook{Name: "w", URL: "https://heddled.mesh.svc/validate"}
		got, covered := []string{}, map[string]string{}
		for _, h := range w.configuration(role).Webhooks {
			got = append(got, h.Name)
			for _, r := range h.Rules {
				covered[r.APIGroups[0]+"/"+r.Resources[0]] += *h.ClientConfig.Service.Path
			}
		}
		if strings.Join(got, " ") != names {
			t.Errorf("the %s has the webhooks %v", role, got)
		}
		for _, k := range api.Kinds {
			want := ""
			switch {
			case role.Reads(k) && (role == Config || k.Conditioned()):
				want = "/validate"
			case role == Config:
				want = "/validate" + Elsewhere
			}
			if have := covered[k.Group+"/"+k.Plural]; have != want {
				t.Errorf("%s: %s is sent to %q, want %q", role, k.Name(), have, want)
			}
		}
	}
}

func TestOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if _, err := Open(Only, path); err == nil || !strings.Contains(err.Error(), "does not exist") || !strings.Contains(err.Error(), "--config-dir") {
		t.Error(err)
	}
	if _, err := Open(Cluster, path); err == nil || !strings.Contains(err.Error(), "cluster's API does not exist; give --cluster-kubeconfig another") || strings.Contains(err.Error(), "--config-dir") {
		t.Error(err)
	}
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Only, path); err == nil || !strings.Contains(err.Error(), path) {
		t.Error(err)
	}
	if _, err := Open(Only, InCluster); err == nil || !strings.Contains(err.Error(), "--kubeconfig") {
		t.Error(err)
	}
}
