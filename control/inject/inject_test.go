package inject

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	istioannotation "istio.io/api/annotation"
	istiolabel "istio.io/api/label"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"
	"sigs.k8s.io/yaml"
)

func testSettings(t testing.TB, config string) *Settings {
	t.Helper()
	c, err := ParseConfig([]byte(config))
	if err != nil {
		t.Fatal(err)
	}
	return &Settings{Config: c, Namespace: "istio-system", RootNamespace: "istio-system", TrustDomain: "cluster.local", ClusterID: "east"}
}

func pod(labels, annotations map[string]string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web", Labels: labels, Annotations: annotations}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "a"}}}}
}

type marks = map[string]string

// TestDecision has a line for each rule of Istio's webhook selectors, for the default revision with a tag, and for another one.
func TestDecision(t *testing.T) {
	byDefault := testSettings(t, "tags: [prod]")
	canary := testSettings(t, "revision: canary\ntags: [next]")
	for _, x := range []struct {
		namespace, pod  marks
		dflt, canaryToo bool
	}{
		{nil, nil, false, false},
		{marks{}, nil, false, false},
		{marks{"istio-injection": "enabled"}, nil, true, false},
		{marks{"istio-injection": "enabled"}, marks{keyInject: "false"}, false, false},
		{marks{"istio-injection": "enabled"}, marks{keyInject: "true"}, true, false},
		{marks{"istio-injection": "disabled"}, marks{keyInject: "true"}, false, false},
		{marks{"istio-injection": "disabled", "istio.io/rev": "canary"}, nil, false, false},
		{marks{"istio-injection": "enabled", "istio.io/rev": "canary"}, nil, true, false}, // istio-injection goes first
		{marks{"istio.io/rev": "default"}, nil, true, false},
		{marks{"istio.io/rev": "prod"}, nil, true, false},
		{marks{"istio.io/rev": "canary"}, nil, false, true},
		{marks{"istio.io/rev": "next"}, nil, false, true},
		{marks{"istio.io/rev": "canary"}, marks{keyInject: "false"}, false, false},
		{marks{"istio.io/rev": "canary"}, marks{"istio.io/rev": "default"}, false, true}, // the namespace goes first
		{marks{}, marks{"istio.io/rev": "canary"}, false, true},
		{marks{}, marks{"istio.io/rev": "prod"}, true, false},
		{marks{}, marks{"istio.io/rev": "canary", keyInject: "false"}, false, false},
		{marks{}, marks{"istio.io/rev": "canary", keyInject: "true"}, false, true},
		{marks{}, marks{keyInject: "true"}, true, false},
		{marks{}, marks{keyInject: "false"}, false, false},
		{marks{"istio.io/rev": "unknown"}, marks{keyInject: "true"}, false, false},
	} {
		for s, want := range map[*Settings]bool{byDefault: x.dflt, canary: x.canaryToo} {
			if x.namespace == nil {
				x.namespace = marks{}
			}
			why := s.Skip(Request{Pod: pod(x.pod, nil), Namespace: "shop", Labels: x.namespace})
			if (why == "") != want {
				t.Errorf("revision %s, namespace %v, pod %v: injected is %t, want %t (%s)", s.Revision, x.namespace, x.pod, why == "", want, why)
			}
		}
	}
}

func TestNeverInjected(t *testing.T) {
	s := testSettings(t, "")
	host := pod(nil, nil)
	host.Spec.HostNetwork = true
	for _, x := range []struct {
		r    Request
		want string
	}{
		{Request{Pod: pod(marks{keyInject: "true"}, nil), Namespace: "kube-system", Selected: true}, "never injected"},
		{Request{Pod: pod(nil, nil), Namespace: "kube-node-lease", Selected: true}, "never injected"},
		{Request{Pod: host, Namespace: "shop", Selected: true}, "spec.hostNetwork"},
		{Request{Pod: pod(nil, marks{keyInject: "false"}), Namespace: "shop", Selected: true}, "asks for none"},
		{Request{Pod: pod(marks{keyInject: "true"}, marks{keyInject: "false"}), Namespace: "shop", Selected: true}, ""}, // the label counts
		{Request{Pod: pod(nil, marks{keyInject: "no"}), Namespace: "shop", Selected: true}, "asks for none"},
		{Request{Pod: pod(nil, nil), Namespace: "shop", Selected: true}, ""},
	} {
		out, err := Inject(s, x.r)
		if err != nil || (x.want == "") != (out.Pod != nil) || !strings.Contains(out.Skipped, x.want) {
			t.Errorf("%+v: %q, %v", x.r, out.Skipped, err)
		}
	}
}

// TestEveryMarkIsListed reads Istio's own lists.
func TestEveryMarkIsListed(t *testing.T) {
	listed := func(key string) bool { return slices.ContainsFunc(Marks, func(m Mark) bool { return m.Key == key }) }
	seen := 0
	for _, a := range istioannotation.AllResourceAnnotations() {
		if slices.Contains(a.Resources, istioannotation.Pod) || slices.Contains(a.Resources, istioannotation.Any) {
			if seen++; !listed(a.Name) {
				t.Errorf("the annotation %s is not in the table: %s", a.Name, a.Description)
			}
		}
	}
	for _, l := range istiolabel.AllResourceLabels() {
		if slices.Contains(l.Resources, istiolabel.Pod) || slices.Contains(l.Resources, istiolabel.Any) {
			if seen++; !listed(l.Name) {
				t.Errorf("the label %s is not in the table: %s", l.Name, l.Description)
			}
		}
	}
	if seen < 50 {
		t.Errorf("Istio's lists have %d marks of pods; were they read?", seen)
	}
}

// TestEveryMarkHasItsEffectOrIsTold sets each mark alone: an honoured annotation must change the pod, another must be told.
func TestEveryMarkHasItsEffectOrIsTold(t *testing.T) {
	s := testSettings(t, "templates: {extra: {spec: {priority: 1}}}")
	values := map[string]string{keyTemplates: "sidecar,extra", keyProxyConfig: "concurrency: 2", "sidecar.istio.io/interceptionMode": "NONE", "sidecar.istio.io/logLevel": "debug",
		"sidecar.istio.io/nativeSidecar": "false", "sidecar.istio.io/rewriteAppHTTPProbers": "false", "sidecar.istio.io/userVolume": `{"a":{"emptyDir":{}}}`,
		"sidecar.istio.io/userVolumeMount": `{"a":{"mountPath":"/a"}}`, "status.sidecar.istio.io/port": "15030", "traffic.sidecar.istio.io/excludeInterfaces": "eth1",
		"traffic.sidecar.istio.io/excludeOutboundIPRanges": "10.0.0.0/8", "traffic.sidecar.istio.io/includeOutboundIPRanges": "10.0.0.0/8"}
	// These decide, or say something to others than the injection.
	elsewhere := []string{keyInject, labelRevision, keyStatus, keyOverrides, "topology.istio.io/cluster", "galley.istio.io/analyze-suppress", "gateway.istio.io/controller-version",
		"security.istio.io/tlsMode", "service.istio.io/canonical-name", "service.istio.io/canonical-revision",
		"operator.istio.io/component", "operator.istio.io/managed", "operator.istio.io/version"}
	build := func(key, value string) (*corev1.Pod, []string) {
		p := pod(nil, nil)
		p.Spec.Containers[0].LivenessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{GRPC: &corev1.GRPCAction{Port: 1}}}
		if key == "topology.istio.io/network" {
			p.Labels = marks{key: value}
		} else if key != "" {
			p.Annotations = marks{key: value}
		}
		out, err := Inject(s, Request{Pod: p, Namespace: "shop", Selected: true})
		if err != nil {
			t.Fatal(key, ": ", err)
		}
		return out.Pod, out.Warnings
	}
	without, _ := build("", "")
	for _, m := range Marks {
		value, ok := values[m.Key]
		if !ok {
			value = "7"
		}
		if slices.Contains(elsewhere, m.Key) {
			continue
		}
		with, warnings := build(m.Key, value)
		same := cmp.Equal(without.Spec, with.Spec)
		if m.Why == "" && same {
			t.Errorf("%s is honoured and changes nothing", m.Key)
		}
		if m.Why != "" && (!same || len(warnings) != 1 || !strings.Contains(warnings[0], m.Why)) {
			t.Errorf("%s: told %q, changed %t", m.Key, warnings, !same)
		}
	}
}

// TestPatchMakesTheOneOfTheOther: applying the patch to before gives after, whatever they are.
func TestPatchMakesTheOneOfTheOther(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.Custom(func(t *rapid.T) any { return draw(t, 3) })
		before, after := object(value.Draw(t, "before")), object(value.Draw(t, "after"))
		ops, err := Patch(before, after)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := json.Marshal(ops)
		p, err := jsonpatch.DecodePatch(text)
		if err != nil {
			t.Fatal(err)
		}
		raw, _ := json.Marshal(before)
		got, err := p.Apply(raw)
		want, _ := json.Marshal(after)
		if err != nil || !jsonpatch.Equal(got, want) {
			t.Fatalf("%s on %s gives %s, want %s (%v)", text, raw, got, want, err)
		}
	})
}

func object(v any) map[string]any { return map[string]any{"a": v} }

func draw(t *rapid.T, depth int) any {
	kind := rapid.IntRange(0, 3).Draw(t, "kind")
	if depth == 0 || kind == 0 {
		return rapid.SampledFrom([]any{"x", "y", 1.0, true}).Draw(t, "leaf")
	}
	if kind == 1 {
		m := map[string]any{}
		for _, k := range rapid.SliceOfDistinct(rapid.SampledFrom([]string{"p", "q/r", "s~t"}), rapid.ID).Draw(t, "keys") {
			m[k] = draw(t, depth-1)
		}
		return m
	}
	list := []any{}
	for _, n := range rapid.SliceOf(rapid.SampledFrom([]string{"one", "two", "three", ""})).Draw(t, "names") {
		list = append(list, map[string]any{"name": n, "v": draw(t, depth-1)})
	}
	return list
}

func TestConfigMistakes(t *testing.T) {
	for text, want := range map[string]string{
		"imag: x": "imag", "proxy: nginx": "field proxy", "imagePullPolicy: Sometimes": "field imagePullPolicy",
		"templates: {sidecar: {}}": "Heddle's own", "templates: {a: {spec: {container: []}}}": "templates[a]", "defaultTemplates: [sidecar, b]": "defaultTemplates[1]",
	} {
		if _, err := ParseConfig([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
	if _, err := ReadConfig("/nowhere"); err == nil || !strings.Contains(err.Error(), "--inject-config") {
		t.Error(err)
	}
}

// TestNameOfTheWorkload is the same from the webhook, which sees a pod of a ReplicaSet, and from a file, which has the Deployment.
func TestNameOfTheWorkload(t *testing.T) {
	for want, text := range map[string]string{
		"web":   `{generateName: web-7d4f-, labels: {pod-template-hash: 7d4f}, ownerReferences: [{kind: ReplicaSet, name: web-7d4f, controller: true}]}`,
		"db":    `{name: db-0, ownerReferences: [{kind: StatefulSet, name: db, controller: true}]}`,
		"night": `{ownerReferences: [{kind: Job, name: night-29123456, controller: true}]}`,
		"job-1": `{ownerReferences: [{kind: Job, name: job-1, controller: true}]}`,
		"alone": `{name: alone}`,
		"gen":   `{generateName: gen-}`,
	} {
		var p corev1.Pod
		if err := yaml.Unmarshal([]byte("metadata: "+text), &p); err != nil {
			t.Fatal(err)
		}
		if got := workload(Request{Pod: &p}); got != want {
			t.Errorf("%s gives %q", text, got)
		}
	}
}

// TestKeysOfPatchesCostNothing: most keys need no escape, and a patch asks for every one.
func TestKeysOfPatchesCostNothing(t *testing.T) {
	if got := escape("a/b~c"); got != "a~1b~0c" {
		t.Error(got)
	}
	if n := testing.AllocsPerRun(100, func() { escape("volumeMounts") }); n > 0 {
		t.Errorf("a plain key costs %v allocations", n)
	}
}
