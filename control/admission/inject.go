package admission

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/heddle-mesh/heddle/control/inject"
)

// Injector answers the Kubernetes API before it stores a pod: with a patch that puts a proxy into it.
type Injector struct {
	Settings func() *inject.Settings // for one review; the caller may change what it gets
	Counter  InjectionCounter
	Log      *slog.Logger
}

// InjectionCounter counts reviews by how they ended.
type InjectionCounter interface {
	Injected()
	Skipped()
	Failed()
}

// ServeHTTP answers POST /inject and /inject/KEY/VALUE/..., where cluster and net say whose pods they are.
func (h *Injector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxReview))
	var review admissionv1.AdmissionReview
	if err == nil {
		err = json.Unmarshal(body, &review)
	}
	if err != nil || review.Request == nil {
		http.Error(w, "want an AdmissionReview of admission.k8s.io/v1 with a request", http.StatusBadRequest)
		return
	}
	s := h.Settings()
	if err := parameters(s, strings.TrimPrefix(r.URL.Path, "/inject")); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	resp := h.review(s, review.Request)
	resp.UID = review.Request.UID
	review.Request, review.Response = nil, resp
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(review)
}

// parameters reads KEY/VALUE pairs of the path; a slash in a value is written --slash-- (Istio's rule). Others than cluster and net are environment variables in
// Istio, and are refused here.
func parameters(s *inject.Settings, path string) error {
	parts := strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
	if len(parts)%2 != 0 {
		return fmt.Errorf("want /inject/KEY/VALUE/..., such as /inject/cluster/east/net/network-1")
	}
	for i := 0; i < len(parts); i += 2 {
		value := strings.ReplaceAll(parts[i+1], "--slash--", "/")
		switch parts[i] {
		case "cluster":
			s.ClusterID = value
		case "net":
			s.Network = value
		default:
			return fmt.Errorf("/inject takes cluster and net, not %q", parts[i])
		}
	}
	return nil
}

// review never lets a mistake of ours end the process: the pod is refused, and the API's failure policy does not come into it.
func (h *Injector) review(s *inject.Settings, req *admissionv1.AdmissionRequest) (resp *admissionv1.AdmissionResponse) {
	log := h.Log.With("namespace", req.Namespace, "name", req.Name)
	defer func() {
		if p := recover(); p != nil {
			h.Counter.Failed()
			log.Error("injection panicked", "panic", p, "stack", string(debug.Stack()))
			resp = refuse("inject a proxy: internal error; heddled's log has more")
		}
	}()
	var pod corev1.Pod
	if req.Kind.Kind != "Pod" || json.Unmarshal(req.Object.Raw, &pod) != nil {
		h.Counter.Failed()
		return refuse("inject a proxy: want a Pod, not %s; correct the rules of the webhook configuration", req.Kind.Kind)
	}
	if req.Operation != admissionv1.Create {
		return &admissionv1.AdmissionResponse{Allowed: true}
	}
	out, err := inject.Inject(s, inject.Request{Pod: &pod, Namespace: req.Namespace, Selected: true})
	if err != nil {
		h.Counter.Failed()
		log.Info("pod refused", "why", err)
		return refuse("a proxy cannot be injected: %s", strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	if out.Pod == nil {
		h.Counter.Skipped()
		log.Info("pod not injected", "why", out.Skipped)
		return &admissionv1.AdmissionResponse{Allowed: true, Warnings: []string{shorten("no proxy is injected: "+out.Skipped, 250)}}
	}
	return h.answer(&pod, out)
}

func (h *Injector) answer(pod *corev1.Pod, out inject.Outcome) *admissionv1.AdmissionResponse {
	ops, err := inject.Patch(pod, out.Pod)
	if err != nil {
		panic(err)
	}
	patch, err := json.Marshal(ops)
	if err != nil {
		panic(err)
	}
	h.Counter.Injected()
	resp := &admissionv1.AdmissionResponse{Allowed: true, Patch: patch, PatchType: new(admissionv1.PatchTypeJSONPatch)}
	for _, w := range out.Warnings {
		resp.Warnings = append(resp.Warnings, shorten(w, 250))
	}
	return resp
}
