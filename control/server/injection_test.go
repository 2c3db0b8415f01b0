package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"
	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/config"
	"github.com/heddle-mesh/heddle/control/config/settings"
	"github.com/heddle-mesh/heddle/control/inject"
	"github.com/heddle-mesh/heddle/control/inject/manifest"
)

// webhookClient calls a real heddled's webhook over TLS.
type webhookClient struct {
	t    *testing.T
	http *http.Client
	url  string
	mesh string // its mesh config file
}

const proxyConfig = `
apiVersion: networking.istio.io/v1beta1
kind: ProxyConfig
metadata: {name: all, namespace: istio-system}
spec: {environmentVariables: {FROM: root}}
`

func startWebhook(t *testing.T) *webhookClient {
	t.Helper()
	dir, state := t.TempDir(), t.TempDir()
	meshConfig := filepath.Join(state, "mesh.yaml")
	for path, text := range map[string]string{filepath.Join(dir, "objects.yaml"): proxyConfig, meshConfig: "defaultConfig: {concurrency: 2}\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d, err := New(t.Context(), Options{ConfigDir: dir, HTTPAddress: "127.0.0.1:0", StateDir: state, WebhookAddress: "127.0.0.1:0", MeshConfig: meshConfig})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error("heddled did not end cleanly:", err)
		}
	})
	<-d.store.Complete()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(d.authority.Roots())
	return &webhookClient{t: t, mesh: meshConfig, url: "https://" + d.webhook.listener.Addr().String(),
		http: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, MaxIdleConnsPerHost: 16}}}
}

func (c *webhookClient) post(path string, body []byte) (int, []byte, error) {
	resp, err := c.http.Post(c.url+path, "application/json", bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, b, err
}

// review sends one pod, and gives the answer.
func (c *webhookClient) review(path string, pod *corev1.Pod) (*admissionv1.AdmissionResponse, []byte, error) {
	raw, err := json.Marshal(pod)
	if err != nil {
		return nil, nil, err
	}
	uid := types.UID("u-" + pod.Name)
	body, err := json.Marshal(admissionv1.AdmissionReview{TypeMeta: metav1.TypeMeta{Kind: "AdmissionReview", APIVersion: "admission.k8s.io/v1"}, Request: &admissionv1.AdmissionRequest{
		UID: uid, Kind: metav1.GroupVersionKind{Version: "v1", Kind: "Pod"}, Operation: admissionv1.Create, Namespace: "shop", Object: runtime.RawExtension{Raw: raw}}})
	if err != nil {
		return nil, nil, err
	}
	status, answer, err := c.post(path, body)
	var out admissionv1.AdmissionReview
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("status %d: %s", status, answer)
	}
	if err == nil {
		err = json.Unmarshal(answer, &out)
	}
	if err == nil && (out.Response == nil || out.Response.UID != uid || out.Kind != "AdmissionReview") {
		err = fmt.Errorf("not an answer to the review: %s", answer)
	}
	return out.Response, raw, err
}

// patched is the pod as the API server would store it.
func patched(raw, patch []byte) (*corev1.Pod, []byte, error) {
	p, err := jsonpatch.DecodePatch(patch)
	if err != nil {
		return nil, nil, err
	}
	out, err := p.Apply(raw)
	if err != nil {
		return nil, nil, err
	}
	var pod corev1.Pod
	return &pod, out, json.Unmarshal(out, &pod)
}

func fakePod(name string) *corev1.Pod {
	return &corev1.Pod{TypeMeta: metav1.TypeMeta{Kind: "Pod", APIVersion: "v1"}, ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "shop", Labels: map[string]string{"app": name}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "web:1", ReadinessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{GRPC: &corev1.GRPCAction{Port: 9090}}}}}}}
}

func TestFourHundredPodsAtOnceAreAllInjected(t *testing.T) {
	c := startWebhook(t)
	var group errgroup.Group
	for i := range 400 {
		group.Go(func() error {
			pod := fakePod(fmt.Sprintf("web-%d", i))
			resp, raw, err := c.review("/inject", pod)
			if err != nil {
				return fmt.Errorf("%s: %w", pod.Name, err)
			}
			if !resp.Allowed || resp.PatchType == nil || *resp.PatchType != admissionv1.PatchTypeJSONPatch {
				return fmt.Errorf("%s: %+v", pod.Name, resp)
			}
			got, _, err := patched(raw, resp.Patch)
			if err != nil {
				return fmt.Errorf("%s: %w", pod.Name, err)
			}
			if len(got.Spec.InitContainers) != 2 || got.Spec.InitContainers[1].Name != inject.ProxyContainer || got.Labels["service.istio.io/canonical-name"] != pod.Name {
				return fmt.Errorf("%s is injected as %+v", pod.Name, got)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
}

// TestOfflineGivesTheSameBytes compares the webhook's pods with those of heddle inject.
func TestOfflineGivesTheSameBytes(t *testing.T) {
	c := startWebhook(t)
	file, err := inject.ReadConfig("")
	if err != nil {
		t.Fatal(err)
	}
	defaults, err := settings.ReadProxyConfig(c.mesh)
	if err != nil {
		t.Fatal(err)
	}
	s := &inject.Settings{Config: file, Namespace: "istio-system", RootNamespace: "istio-system", TrustDomain: "cluster.local", ClusterID: "east", Network: "net/1", Mesh: defaults}
	annotated := fakePod("annotated")
	annotated.Annotations = map[string]string{"heddle.dev/proxy": "envoy", "sidecar.istio.io/nativeSidecar": "false", "proxy.istio.io/config": "concurrency: 3"}
	for _, pod := range []*corev1.Pod{fakePod("web"), annotated} {
		pod.Annotations = mapWith(pod.Annotations, "a", "b")
		resp, raw, err := c.review("/inject/cluster/east/net/net--slash--1", pod)
		if err != nil {
			t.Fatal(err)
		}
		_, online, err := patched(raw, resp.Patch)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(online), `"FROM"`) {
			t.Error("the ProxyConfig object of the root namespace has no effect: ", string(online))
		}
		s.ProxyConfigs = (&proxyConfigs{store: storeOf(t, proxyConfig)}).current()
		offline, err := manifest.Injector{Settings: s, Tell: func(string) {}}.Inject(raw)
		if err != nil {
			t.Fatal(err)
		}
		if canonical(t, online) != canonical(t, offline) {
			t.Errorf("online  %s\noffline %s", canonical(t, online), canonical(t, offline))
		}
		again, _, err := c.review("/inject/cluster/east/net/net--slash--1", podOf(t, online))
		if err != nil || again.Patch != nil && string(again.Patch) != "null" && string(again.Patch) != "[]" {
			t.Errorf("called again, the webhook changes %s (%v)", again.Patch, err)
		}
	}
}

func TestWebhookRefusesAndSkips(t *testing.T) {
	c := startWebhook(t)
	broken := fakePod("broken")
	broken.Annotations = map[string]string{"sidecar.istio.io/proxyCPU": "much"}
	resp, _, err := c.review("/inject", broken)
	if err != nil || resp.Allowed || !strings.Contains(resp.Result.Message, "metadata.annotations[sidecar.istio.io/proxyCPU]") {
		t.Errorf("%+v, %v", resp, err)
	}
	host := fakePod("host")
	host.Spec.HostNetwork = true
	resp, _, err = c.review("/inject", host)
	if err != nil || !resp.Allowed || resp.Patch != nil || !slices.ContainsFunc(resp.Warnings, func(w string) bool { return strings.Contains(w, "spec.hostNetwork") }) {
		t.Errorf("%+v, %v", resp, err)
	}
	for path, body := range map[string]string{"/inject": "no", "/inject/": "{}", "/inject/cluster": `{"request":{}}`, "/inject/env/x": `{"request":{}}`} {
		if status, answer, err := c.post(path, []byte(body)); status != http.StatusBadRequest || err != nil {
			t.Errorf("%s: %d %s %v", path, status, answer, err)
		}
	}
	if status, _, _ := c.post("/inject", bytes.Repeat([]byte(" "), 9<<20)); status != http.StatusBadRequest && status != 0 {
		t.Errorf("a body of 9 MiB: %d", status)
	}
	if _, err := New(t.Context(), Options{ConfigDir: t.TempDir(), HTTPAddress: "127.0.0.1:0", StateDir: t.TempDir(), WebhookAddress: "127.0.0.1:0", InjectConfig: "/nowhere"}); err == nil || !strings.Contains(err.Error(), "--inject-config") {
		t.Error(err)
	}
}

func canonical(t *testing.T, text []byte) string {
	t.Helper()
	var v any
	if err := yaml.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func podOf(t *testing.T, raw []byte) *corev1.Pod {
	t.Helper()
	var p corev1.Pod
	if err := json.Unmarshal(raw, &p); err != nil {
		t.Fatal(err)
	}
	return &p
}

func mapWith(m map[string]string, key, value string) map[string]string {
	out := map[string]string{key: value}
	for k, v := range m {
		out[k] = v
	}
	return out
}

func storeOf(t *testing.T, text string) *config.Store {
	t.Helper()
	s := config.New("test")
	objects, problems := api.DecodeAll([]byte(text), "test.yaml")
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	for _, o := range objects {
		s.Put("test", o, nil)
	}
	return s
}
