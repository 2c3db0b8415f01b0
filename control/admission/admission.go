// Package admission answers the Kubernetes API before it stores an object: what is broken, and what protects something and cannot be enforced, is refused.
//
// In: AdmissionReviews (admission.k8s.io/v1) over HTTP. Out: yes with warnings for what is not honoured, or no with one clear sentence. It is safe for
// concurrent use.
package admission

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/translate"
	"github.com/heddle-mesh/heddle/control/translate/condition"
	"github.com/heddle-mesh/heddle/control/translate/world"
	"github.com/heddle-mesh/heddle/mesh"
)

// maxReview bounds a review: an object of the API is at most 1.5 MiB, and a review holds the old one too.
const maxReview = 8 << 20

// Handler validates objects. World gives the lookup for one review.
type Handler struct {
	World func() translate.Lookup
	Log   *slog.Logger
}

// ServeHTTP answers POST /validate.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.serve(w, r, h.review) }

// Elsewhere answers for kinds that are read from another API: whoever writes one here is told, and nobody is stopped.
func (h *Handler) Elsewhere(w http.ResponseWriter, r *http.Request) {
	h.serve(w, r, func(req *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
		text := fmt.Sprintf("a %s in this API has no effect: the mesh reads them from the cluster where the pods are; write it there", req.Kind.Kind)
		return &admissionv1.AdmissionResponse{Allowed: true, Warnings: []string{text}}
	})
}

func (h *Handler) serve(w http.ResponseWriter, r *http.Request, review func(*admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxReview))
	var asked admissionv1.AdmissionReview
	if err == nil {
		err = json.Unmarshal(body, &asked)
	}
	if err != nil || asked.Request == nil {
		http.Error(w, "want an AdmissionReview of admission.k8s.io/v1 with a request", http.StatusBadRequest)
		return
	}
	resp := review(asked.Request)
	resp.UID = asked.Request.UID
	if !resp.Allowed {
		h.Log.Info("object refused", "kind", asked.Request.Kind.Kind, "namespace", asked.Request.Namespace, "name", asked.Request.Name, "why", resp.Result.Message)
	}
	asked.Request, asked.Response = nil, resp
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(asked)
}

func (h *Handler) review(req *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
	switch req.Operation {
	case admissionv1.Create, admissionv1.Update:
	default:
		return &admissionv1.AdmissionResponse{Allowed: true}
	}
	if req.Operation == admissionv1.Update && meansTheSame(req.OldObject.Raw, req.Object.Raw) {
		// Whoever removes a finalizer, or deletes, must not be stopped by what was stored before.
		return &admissionv1.AdmissionResponse{Allowed: true}
	}
	o, decoding := api.Decode(req.Object.Raw)
	if o.Kind == nil {
		return refuse("%s", condition.Sentences(decoding))
	}
	if o.Kind.Conditioned() { // it is Kubernetes' to refuse such an object
		return &admissionv1.AdmissionResponse{Allowed: true, Warnings: warnings(world.Core(o, h.World().Settings()))}
	}
	o.Status = nil
	problems := translate.Object(o, decoding, h.World()).Problems
	return answer(o, problems)
}

// Verdict divides what is wrong with an object: what refuses it, with the sentence that introduces it, and what its owner is only told.
type Verdict struct {
	Refused  string // "" when the object is allowed
	Errors   []mesh.Problem
	Warnings []mesh.Problem
}

// Judge refuses what is broken or protects something that cannot be enforced; everything else is allowed, and said.
func Judge(o api.Object, problems []mesh.Problem) Verdict {
	var broken, denied, rest []mesh.Problem
	for _, p := range problems {
		switch {
		case p.Code.Fatal():
			broken = append(broken, p)
		case p.Code == mesh.CodeDenied:
			denied = append(denied, p)
		default:
			rest = append(rest, p)
		}
	}
	if len(broken) > 0 {
		return Verdict{Refused: "is not valid", Errors: broken, Warnings: append(denied, rest...)}
	}
	var unenforced []mesh.Problem
	for _, f := range api.Unenforced(o) {
		unenforced = append(unenforced, mesh.Problem{Object: o.Ref(), Field: f.Path, Code: mesh.CodeDenied, Message: f.Reason})
		denied = slices.DeleteFunc(denied, func(p mesh.Problem) bool { return p.Field == f.Path }) // what would follow if it were not refused
	}
	if len(unenforced) > 0 {
		return Verdict{Refused: "protects something that is not enforced yet, so it is refused", Errors: unenforced, Warnings: append(denied, rest...)}
	}
	if len(denied) > 0 {
		return Verdict{Refused: "cannot be enforced", Errors: denied, Warnings: rest}
	}
	return Verdict{Warnings: rest}
}

// answer gives a verdict in the words of the API.
func answer(o api.Object, problems []mesh.Problem) *admissionv1.AdmissionResponse {
	v := Judge(o, problems)
	if v.Refused != "" {
		return refuse("%s %s: %s", o.Ref(), v.Refused, condition.Sentences(v.Errors))
	}
	return &admissionv1.AdmissionResponse{Allowed: true, Warnings: warnings(v.Warnings)}
}

func warnings(problems []mesh.Problem) (out []string) {
	for _, p := range problems {
		text := p.Message
		if p.Field != "" {
			text = p.Field + ": " + text
		}
		if p.Hint != "" {
			text += "; " + p.Hint
		}
		// A warning is a header for clients: at most 256 characters are sure to arrive (RFC 9110 has no limit; the API cuts there).
		out = append(out, shorten(text, 250))
	}
	return out
}

func shorten(s string, n int) string {
	if s = strings.ReplaceAll(s, "\n", " "); len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}

func refuse(format string, args ...any) *admissionv1.AdmissionResponse {
	return &admissionv1.AdmissionResponse{Allowed: false, Result: &metav1.Status{Status: metav1.StatusFailure, Message: fmt.Sprintf(format, args...),
		Reason: metav1.StatusReasonInvalid, Code: http.StatusUnprocessableEntity}}
}

// meansTheSame says whether two versions differ in bookkeeping only.
func meansTheSame(old, new []byte) bool {
	x, ok := meaning(old)
	y, ok2 := meaning(new)
	return ok && ok2 && bytes.Equal(x, y)
}

func meaning(raw []byte) ([]byte, bool) {
	var m map[string]any
	if json.Unmarshal(raw, &m) != nil {
		return nil, false
	}
	delete(m, "status")
	if meta, ok := m["metadata"].(map[string]any); ok {
		m["metadata"] = map[string]any{"labels": meta["labels"], "annotations": meta["annotations"]}
	}
	out, err := json.Marshal(m)
	return out, err == nil
}
