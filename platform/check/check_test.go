package check

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/version"
	discoveryfake "k8s.io/client-go/discovery/fake"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/fake"
	restclient "k8s.io/client-go/rest"
	k8stesting "k8s.io/client-go/testing"
	"sigs.k8s.io/yaml"
)

const (
	part    = "app.kubernetes.io/part-of"
	release = "app.kubernetes.io/instance"
)

// healthy is a cluster in which all is well; a case breaks one thing.
type healthy struct {
	ns        map[string]*corev1.Namespace
	deploy    *appsv1.Deployment
	lease     *coordinationv1.Lease
	secret    *corev1.Secret
	maps      map[string]*corev1.ConfigMap
	mutating  *admissionregistrationv1.MutatingWebhookConfiguration
	checking  *admissionregistrationv1.ValidatingWebhookConfiguration
	pod       *corev1.Pod
	service   *corev1.Service
	agent     *appsv1.DaemonSet
	api       *appsv1.StatefulSet
	more      []runtime.Object
	says      string // how the node captures
	crds      []runtime.Object
	minor     string
	forbidden string // resource that may not be created
	unread    string // resource that the control plane may not read
	injects   bool
	down      bool
	options   Options
}

func meta(ns, name string, labels ...string) metav1.ObjectMeta {
	m := metav1.ObjectMeta{Namespace: ns, Name: name, Labels: map[string]string{}}
	for i := 0; i < len(labels); i += 2 {
		m.Labels[labels[i]] = labels[i+1]
	}
	return m
}

func certificate(t *testing.T, until time.Time) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-24 * 365 * time.Hour), NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func newHealthy(t *testing.T) *healthy {
	holder, now := "heddled-1", metav1.NowMicro()
	at := &admissionregistrationv1.ServiceReference{Namespace: "istio-system", Name: "heddled"}
	client := admissionregistrationv1.WebhookClientConfig{Service: at, CABundle: []byte("roots")}
	roots := func(ns string) *corev1.ConfigMap {
		return &corev1.ConfigMap{ObjectMeta: meta(ns, rootMap), Data: map[string]string{rootKey: "roots"}}
	}
	return &healthy{minor: "36", injects: true, options: Options{Namespace: "istio-system", Revision: "default", Version: "v1"},
		ns:     map[string]*corev1.Namespace{"istio-system": {ObjectMeta: meta("", "istio-system")}, "shop": {ObjectMeta: meta("", "shop", labelInjection, "enabled")}},
		deploy: &appsv1.Deployment{ObjectMeta: meta("istio-system", "heddled", part, "heddle", release, "heddle", "app.kubernetes.io/version", "v1"), Status: appsv1.DeploymentStatus{AvailableReplicas: 1, UpdatedReplicas: 1}},
		lease:  &coordinationv1.Lease{ObjectMeta: meta("istio-system", leaderLease), Spec: coordinationv1.LeaseSpec{HolderIdentity: &holder, RenewTime: &now}},
		secret: &corev1.Secret{ObjectMeta: meta("istio-system", caSecret), Data: map[string][]byte{rootKey: []byte("roots"), caKey: certificate(t, time.Now().Add(365*24*time.Hour))}},
		maps:   map[string]*corev1.ConfigMap{"istio-system": roots("istio-system"), "shop": roots("shop")},
		mutating: &admissionregistrationv1.MutatingWebhookConfiguration{ObjectMeta: meta("", "injector", part, "heddle"), Webhooks: []admissionregistrationv1.MutatingWebhook{{ClientConfig: client,
			NamespaceSelector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: labelRevision, Operator: "In", Values: []string{"default", "prod"}}}}}}},
		checking: &admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: meta("", "checks"), Webhooks: []admissionregistrationv1.ValidatingWebhook{{ClientConfig: client}}},
		pod: &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", Annotations: map[string]string{markStatus: "{}"}}, Spec: corev1.PodSpec{InitContainers: []corev1.Container{{Name: proxyContainer, Image: "x:v1"}}},
			Status: corev1.PodStatus{Phase: corev1.PodRunning, InitContainerStatuses: []corev1.ContainerStatus{{Name: proxyContainer, Ready: true}}}},
		agent: &appsv1.DaemonSet{ObjectMeta: meta("istio-system", "heddle-node"), Status: appsv1.DaemonSetStatus{DesiredNumberScheduled: 1, UpdatedNumberScheduled: 1, NumberAvailable: 1}},
		api:   &appsv1.StatefulSet{ObjectMeta: meta("istio-system", configAPI), Status: appsv1.StatefulSetStatus{AvailableReplicas: 1}},
		more:  []runtime.Object{&corev1.Node{ObjectMeta: meta("", "node1")}},
		service: &corev1.Service{ObjectMeta: meta("istio-system", "gateway", part, "heddle"), Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer},
			Status: corev1.ServiceStatus{LoadBalancer: corev1.LoadBalancerStatus{Ingress: []corev1.LoadBalancerIngress{{IP: "10.0.0.1"}}}}},
	}
}

func (c *healthy) run() (all []Finding) {
	objects := append([]runtime.Object{c.lease, c.secret, c.mutating, c.checking, c.pod, c.service, c.api}, c.more...)
	if c.deploy != nil {
		objects = append(objects, c.deploy)
	}
	if c.agent != nil {
		objects = append(objects, c.agent)
	}
	for _, o := range c.ns {
		objects = append(objects, o)
	}
	for _, o := range c.maps {
		objects = append(objects, o)
	}
	typed := fake.NewClientset(objects...)
	typed.Discovery().(*discoveryfake.FakeDiscovery).FakedServerVersion = &version.Info{Major: "1", Minor: c.minor, GitVersion: "v1." + c.minor + ".0"}
	typed.PrependReactor("create", "selfsubjectaccessreviews", func(a k8stesting.Action) (bool, runtime.Object, error) {
		r := a.(k8stesting.CreateAction).GetObject().(*authorizationv1.SelfSubjectAccessReview).DeepCopy()
		r.Status.Allowed = r.Spec.ResourceAttributes.Resource != c.forbidden
		return true, r, nil
	})
	typed.PrependReactor("create", "subjectaccessreviews", func(a k8stesting.Action) (bool, runtime.Object, error) {
		r := a.(k8stesting.CreateAction).GetObject().(*authorizationv1.SubjectAccessReview).DeepCopy()
		r.Status.Allowed = r.Spec.ResourceAttributes.Resource != c.unread
		return true, r, nil
	})
	typed.PrependProxyReactor("pods", func(k8stesting.Action) (bool, restclient.ResponseWrapper, error) { return true, answer(c.says), nil })
	typed.PrependReactor("create", "pods", func(a k8stesting.Action) (bool, runtime.Object, error) {
		p := a.(k8stesting.CreateAction).GetObject().(*corev1.Pod).DeepCopy()
		if c.injects {
			p.Spec.InitContainers = []corev1.Container{{Name: proxyContainer}}
		}
		return true, p, nil
	})
	if c.down {
		typed.PrependReactor("get", "version", func(k8stesting.Action) (bool, runtime.Object, error) {
			return true, nil, errors.New("connection refused")
		})
	}
	Run(context.Background(), Cluster{Typed: typed, Dynamic: dynamicfake.NewSimpleDynamicClient(runtime.NewScheme(), c.crds...)}, c.options, func(f Finding) { all = append(all, f) })
	return all
}

func TestAllIsWell(t *testing.T) {
	for _, before := range []bool{false, true} {
		c := newHealthy(t)
		if c.options.Before = before; before {
			c.more = append(c.more, &appsv1.Deployment{ObjectMeta: meta("x", "x")})
		}
		all := c.run()
		for _, f := range all {
			if f.Result != Success {
				t.Errorf("%+v", f)
			}
		}
		if len(all) < 6 {
			t.Errorf("only %d findings", len(all))
		}
	}
}

// With an API of its own the control plane needs no right in the cluster for what comes from there.
func TestRightsBesideAnotherAPI(t *testing.T) {
	c := newHealthy(t)
	c.unread, c.deploy.Spec.Template.Spec.Containers = "virtualservices", []corev1.Container{{Name: "heddled", Args: []string{"--kubeconfig=/etc/x", "--cluster-kubeconfig=in-cluster"}}}
	for _, f := range c.run() {
		if f.Result != Success {
			t.Errorf("%+v", f)
		}
	}
}

// TestOneThingIsWrong breaks one thing at a time: that, and nothing else, must be found.
func TestOneThingIsWrong(t *testing.T) {
	for name, x := range map[string]struct {
		breaks func(*healthy)
		result Result
		want   string
	}{
		"API away":             {func(c *healthy) { c.down = true }, Failure, "connection refused"},
		"old Kubernetes":       {func(c *healthy) { c.minor = "28+" }, Failure, "it is v1.28+.0"},
		"not installed":        {func(c *healthy) { c.deploy = nil }, Failure, "there is no Deployment heddled in namespace istio-system"},
		"pods not ready":       {func(c *healthy) { c.deploy.Status.AvailableReplicas = 0 }, Failure, "0 of 1 pods of heddled are ready"},
		"own API away":         {func(c *healthy) { c.api.Status.AvailableReplicas = 0 }, Failure, "the pod of heddle-config-api is not ready"},
		"other version":        {func(c *healthy) { c.options.Version = "v2" }, Warning, "it is v1, this program v2"},
		"no leader":            {func(c *healthy) { c.lease.Spec.RenewTime = &metav1.MicroTime{Time: time.Now().Add(-time.Hour)} }, Warning, "not been renewed"},
		"authority ended":      {func(c *healthy) { c.secret.Data[caKey] = certificate(t, time.Now().Add(-time.Hour)) }, Failure, "it ended on"},
		"authority ends":       {func(c *healthy) { c.secret.Data[caKey] = certificate(t, time.Now().Add(24*time.Hour)) }, Warning, "it ends on"},
		"no roots":             {func(c *healthy) { delete(c.maps, "shop") }, Failure, "they are missing in shop"},
		"other roots":          {func(c *healthy) { c.maps["shop"].Data[rootKey] = "old" }, Failure, "another authority in shop"},
		"no bundle":            {func(c *healthy) { c.mutating.Webhooks[0].ClientConfig.CABundle = nil }, Failure, "injector has no caBundle"},
		"not injected":         {func(c *healthy) { c.injects = false }, Failure, "as it is"},
		"fails open":           {func(c *healthy) { c.mutating.Webhooks[0].FailurePolicy = new(admissionregistrationv1.Ignore) }, Warning, "failurePolicy: Ignore"},
		"not validated":        {func(c *healthy) { c.checking.Webhooks = nil }, Failure, "there is no ValidatingWebhookConfiguration"},
		"validated by another": {func(c *healthy) { c.checking.Webhooks[0].ClientConfig.CABundle = []byte("old") }, Failure, "the caBundle of checks"},
		"unknown revision":     {func(c *healthy) { c.ns["shop"].Labels[labelRevision] = "gone" }, Failure, "shop asks for gone"},
		"no proxy":             {func(c *healthy) { c.pod.Annotations = nil }, Warning, "none in shop/web"},
		"proxy not ready":      {func(c *healthy) { c.pod.Status.InitContainerStatuses[0].Ready = false }, Failure, "not in shop/web"},
		"old proxy":            {func(c *healthy) { c.pod.Spec.InitContainers[0].Image = "r/x:v0" }, Warning, "not v1: shop/web (v0)"},
		"node without agent":   {func(c *healthy) { c.agent.Status.NumberAvailable = 0 }, Failure, "0 of 1 nodes have a ready one: not node1"},
		"agent nowhere":        {func(c *healthy) { c.agent.Status = appsv1.DaemonSetStatus{} }, Failure, "no node is to have one"},
		"agent not updated":    {func(c *healthy) { c.agent.Status.UpdatedNumberScheduled = 0 }, Warning, "0 of 1 nodes have one of this version"},
		"node fell back":       {func(c *healthy) { c.agentSays(`{"way":"nftables","fell":"ebpf does not work: Linux 5.10"}`) }, Warning, "node1 by nftables, because ebpf does not work: Linux 5.10"},
		"agent is silent":      {func(c *healthy) { c.agentSays(`<html>`) }, Warning, "an agent does not say how its node captures: node1: invalid character"},
		"pod waits":            {func(c *healthy) { c.more = append(c.more, onNode(2*time.Minute, 0)) }, Failure, "shop/late on node1"},
		"pod uncaptured":       {func(c *healthy) { c.more = append(c.more, onNode(0, 126)) }, Failure, "they started before the node agent, and get no further: shop/late"},
		"no address":           {func(c *healthy) { c.service.Status = corev1.ServiceStatus{} }, Warning, "none: gateway"},
		"right missing":        {func(c *healthy) { c.unread = "virtualservices" }, Failure, "may not: list virtualservices.networking.istio.io, watch virtualservices.networking.istio.io"},
		"old definitions":      {func(c *healthy) { c.crds = append(c.crds, oldDefinition(t)) }, Failure, "telemetries.telemetry.istio.io does not serve v1 or v1alpha1"},
		"before: rights":       {func(c *healthy) { c.options.Before, c.forbidden = true, "clusterroles" }, Failure, "create clusterroles.rbac.authorization.k8s.io"},
		"before: namespace": {func(c *healthy) {
			c.options.Before = true
			c.ns["istio-system"].DeletionTimestamp, c.ns["istio-system"].Finalizers = &metav1.Time{Time: time.Now()}, []string{"x"}
		}, Failure, "namespace istio-system is being removed"},
		"before: another": {func(c *healthy) { c.options.Before = true; c.mutating.Labels = nil }, Warning, "there is injector"},
		"before: old definitions": {func(c *healthy) {
			c.options.Before = true
			c.crds = append(c.crds, oldDefinition(t))
		}, Failure, "telemetries.telemetry.istio.io does not serve v1 or v1alpha1"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newHealthy(t)
			x.breaks(c)
			var bad []Finding
			for _, f := range c.run() {
				if f.Result != Success {
					bad = append(bad, f)
				}
			}
			if len(bad) != 1 || bad[0].Result != x.result || !strings.Contains(bad[0].Error, x.want) || bad[0].Hint == "" {
				t.Errorf("%+v, want one %s with %q", bad, x.result, x.want)
			}
		})
	}
}

// oldDefinition is one that an old installation of something else has left.
func oldDefinition(t *testing.T) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(`{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: telemetries.telemetry.istio.io}, spec: {versions: [{name: v1beta9, served: true}, {name: v1, served: false}]}}`), &u.Object); err != nil {
		t.Fatal(err)
	}
	return u
}

// agentSays adds an agent's pod, which says how its node captures.
func (c *healthy) agentSays(text string) {
	p := &corev1.Pod{ObjectMeta: meta("istio-system", "heddle-node-1", "app", "heddle-node"), Spec: corev1.PodSpec{NodeName: "node1"}, Status: corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}}}
	c.more, c.says = append(c.more, p), text
}

// TestWayOfCapture: what is as it should be is said too.
func TestWayOfCapture(t *testing.T) {
	for says, want := range map[string]string{`{"way":"ebpf"}`: " (node1: ebpf)", `{"way":""}`: " (node1: not known before a pod with a proxy starts)"} {
		c := newHealthy(t)
		c.agentSays(says)
		if !slices.ContainsFunc(c.run(), func(f Finding) bool {
			return f.Result == Success && f.Error == "" && f.Description == "every node captures by the best of its ways"+want
		}) {
			t.Errorf("%s: no finding with %s", says, want)
		}
	}
}

// answer is what is read from an agent's pod.
type answer string

// DoRaw implements restclient.ResponseWrapper.
func (a answer) DoRaw(context.Context) ([]byte, error) { return []byte(a), nil }

// Stream implements restclient.ResponseWrapper.
func (a answer) Stream(context.Context) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader(string(a))), nil
}

// onNode is a pod that waits for its network for some time, or whose validation ended with a code.
func onNode(since time.Duration, code int32) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: meta("shop", "late", labelInject, "false"), Spec: corev1.PodSpec{NodeName: "node1"}}
	p.Annotations = map[string]string{markCapture: "[]"}
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(time.Now().Add(-since))}}
	if code != 0 {
		p.Status.InitContainerStatuses = []corev1.ContainerStatus{{Name: validationContainer, LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code}}}}
	}
	return p
}

// TestNoNodeAgent: without one there is nothing to find about it.
func TestNoNodeAgent(t *testing.T) {
	c := newHealthy(t)
	c.agent, c.more = nil, append(c.more, onNode(time.Hour, 126))
	for _, f := range c.run() {
		if f.Category == "node-agent" || f.Result != Success {
			t.Errorf("%+v", f)
		}
	}
}

func TestSome(t *testing.T) {
	if got := some([]string{"a", "b", "c", "d", "e", "f", "g"}); got != "a, b, c, d, e and 2 more" {
		t.Error(got)
	}
}
