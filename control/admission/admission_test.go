package admission

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/heddle-mesh/heddle/control/translate"
	"github.com/heddle-mesh/heddle/control/translate/world"
	"github.com/heddle-mesh/heddle/mesh"
)

func handler() *Handler {
	w := world.New(&mesh.Settings{RootNamespace: "istio-system", ClusterDomain: "cluster.local", TrustDomain: "cluster.local"}, nil)
	return &Handler{World: func() translate.Lookup { return w }, Log: slog.New(slog.DiscardHandler)}
}

func ask(t *testing.T, op admissionv1.Operation, object, old string) *admissionv1.AdmissionResponse {
	t.Helper()
	raw := func(text string) runtime.RawExtension {
		j, err := yaml.YAMLToJSON([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return runtime.RawExtension{Raw: j}
	}
	review := admissionv1.AdmissionReview{Request: &admissionv1.AdmissionRequest{UID: "u1", Operation: op, Object: raw(object)}}
	if old != "" {
		review.Request.OldObject = raw(old)
	}
	body, _ := json.Marshal(review)
	rec := httptest.NewRecorder()
	handler().ServeHTTP(rec, httptest.NewRequest(http.MethodPost, "/validate", bytes.NewReader(body)))
	var got admissionv1.AdmissionReview
	if err := json.Unmarshal(rec.Body.Bytes(), &got); err != nil || got.Response == nil || got.Response.UID != "u1" {
		t.Fatal(rec.Code, rec.Body.String(), err)
	}
	return got.Response
}

const route = `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: shop}
spec: {hosts: [web], http: [{route: [{destination: {host: web}}]}]}
`

const policy = `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: p, namespace: shop}
spec: {action: DENY, rules: [{to: [{operation: {methods: [GET]}}]}]}
`

const backendTLS = `
apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {name: p, namespace: shop}
spec:
  targetRefs: [{group: "", kind: Service, name: web}]
  validation: {hostname: a.com, caCertificateRefs: [{group: "", kind: ConfigMap, name: ca}]}
`

func TestReview(t *testing.T) {
	for _, c := range []struct {
		name, object, old string
		op                admissionv1.Operation
		allowed           bool
		say               string
	}{
		{"a good object, with what it lacks", route, "", admissionv1.Create, true, "no service has the host"},
		{"an unknown field", strings.Replace(route, "hosts:", "hozts:", 1), "", admissionv1.Create, false, "spec.hozts"},
		{"a rule of its kind is broken", strings.Replace(route, "[web]", "[web, web]", 1), "", admissionv1.Update, false, "spec.hosts[1]"},
		{"a label that is not honoured", strings.Replace(route, "name: web,", "name: web, labels: {istio.io/use-waypoint: w},", 1), "", admissionv1.Create, true, "istio.io/use-waypoint"},
		{"a policy", policy, "", admissionv1.Create, true, ""},
		{"a policy that cannot be enforced", strings.Replace(policy, "DENY", "CUSTOM", 1), "", admissionv1.Create, false, "ALLOW and DENY"},
		{"a security kind that is not enforced", "apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {name: r, namespace: shop}\nspec: {jwtRules: [{issuer: a}]}\n", "", admissionv1.Create, false, "RequestAuthentication/shop/r"},
		{"TLS of a gateway that is not served", "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: g, namespace: shop}\nspec: {servers: [{port: {number: 443, name: tls, protocol: TLS}, hosts: [a.com], tls: {mode: AUTO_PASSTHROUGH, verifyCertificateSpki: [x]}}]}\n", "", admissionv1.Create, false, "spec.servers[0].tls"},
		{"a policy for TLS to backends whose authorities are not there yet", backendTLS, "", admissionv1.Create, true, "there is no ConfigMap ca"},
		{"and one whose authorities are of another kind", strings.Replace(backendTLS, "kind: ConfigMap", "kind: Bucket", 1), "", admissionv1.Create, true, "cannot be of kind Bucket"},
		{"and one with options, which no authority mends", backendTLS + "  options: {a.com/b: c}\n", "", admissionv1.Create, false, "spec.options"},
		{"a finalizer goes from a broken object", strings.Replace(route, "hosts:", "hozts:", 1), strings.Replace(strings.Replace(route, "hosts:", "hozts:", 1), "name: web", "finalizers: [x/y], name: web", 1), admissionv1.Update, true, ""},
		{"a broken object is made worse", strings.Replace(route, "hosts:", "hozts:", 1), strings.Replace(route, "hosts:", "hozzts:", 1), admissionv1.Update, false, "hozts"},
		{"a Service that asks for something", "apiVersion: v1\nkind: Service\nmetadata: {name: s, namespace: shop, labels: {istio.io/use-waypoint: w}}\nspec: {sessionAffinity: ClientIP, ports: [{port: 80}]}\n", "",
			admissionv1.Create, true, "spec.sessionAffinity: a proxy chooses an endpoint for each request, in Istio too, so ClientIP has no effect for callers that have one; write a DestinationRule with consistentHash.useSourceIp metadata.labels[\"istio.io/use-waypoint\"]"},
		{"a Service that is Kubernetes' to refuse", "apiVersion: v1\nkind: Service\nmetadata: {name: s, namespace: shop, annotations: {networking.istio.io/exportTo: \"a,,b\"}}\nspec: {ports: [{port: 80}]}\n", "", admissionv1.Create, true, "empty name"},
		{"a Namespace", "apiVersion: v1\nkind: Namespace\nmetadata: {name: s, labels: {istio-injection: enabled}}\n", "", admissionv1.Create, true, "istio-injection is not honoured"},
		{"a deletion", "{}", strings.Replace(route, "hosts:", "hozts:", 1), admissionv1.Delete, true, ""},
	} {
		got := ask(t, c.op, c.object, c.old)
		text := strings.Join(got.Warnings, " ")
		if got.Result != nil {
			text = got.Result.Message
		}
		if got.Allowed != c.allowed || !strings.Contains(text, c.say) {
			t.Errorf("%s: allowed %v: %q", c.name, got.Allowed, text)
		}
	}
}

func TestElsewhere(t *testing.T) {
	rec := httptest.NewRecorder()
	handler().Elsewhere(rec, httptest.NewRequest(http.MethodPost, "/validate/elsewhere", strings.NewReader(`{"request":{"uid":"u1","operation":"CREATE","kind":{"kind":"Secret"},"object":{}}}`)))
	var got admissionv1.AdmissionReview
	if err := json.Unmarshal(rec.Body.Bytes(), &got); err != nil || got.Response == nil || !got.Response.Allowed || len(got.Response.Warnings) != 1 || !strings.Contains(got.Response.Warnings[0], "a Secret in this API has no effect") {
		t.Error(rec.Body.String(), err)
	}
}

func FuzzReview(f *testing.F) {
	good, _ := yaml.YAMLToJSON([]byte(policy))
	f.Add([]byte(`{"request":{"uid":"a","operation":"CREATE","object":` + string(good) + `}}`))
	f.Add([]byte(`{"request":{"operation":"UPDATE","object":{},"oldObject":{"metadata":3}}}`))
	h := handler()
	f.Fuzz(func(t *testing.T, body []byte) {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest(http.MethodPost, "/validate", bytes.NewReader(body)))
		if rec.Code != http.StatusOK && rec.Code != http.StatusBadRequest {
			t.Error(rec.Code)
		}
	})
}
