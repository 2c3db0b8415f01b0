package api

import (
	"strconv"
	"time"
)

// Meta is the part of Kubernetes' metadata that the mesh reads, and where the object stands when it came from a file.
type Meta struct {
	Name, Namespace, UID string
	Generation           int64
	ResourceVersion      string
	Created              time.Time
	Labels, Annotations  map[string]string
	File                 string // "" when it did not come from a file
	Line                 int    // of the document's first line in File, from 1
}

// Object is one decoded object. It must not be changed once others can see it.
type Object struct {
	Kind *Kind
	Meta Meta
	// Spec is a pointer: the Istio message, the Gateway API's XSpec struct, or the whole object of a core kind (*corev1.Service).
	Spec any
	// Status is what the object's status field held, nil when it had none.
	Status map[string]any
	// Read says that Spec holds all that the document says; false when a value has the wrong type.
	Read bool
	// Unknown are the paths of fields that the schema does not have.
	Unknown []string
}

// Ref names the object.
func (o Object) Ref() Ref {
	r := Ref{Namespace: Namespace(o.Meta.Namespace), Name: o.Meta.Name}
	if o.Kind != nil {
		r.Group, r.Kind = o.Kind.Group, o.Kind.Kind
	}
	return r
}

// Source is FILE:LINE, or "" when the object did not come from a file.
func (o Object) Source() string {
	if o.Meta.File == "" {
		return ""
	}
	return o.Meta.File + ":" + strconv.Itoa(o.Meta.Line)
}

// Health is what a workload's own probe found.
type Health uint8

// The states of Health. Of a workload whose health is not checked nothing is known, and nobody asks.
const (
	HealthUnknown Health = iota
	HealthGood
	HealthBad
)

// MarkHealthChecks is the annotation of a WorkloadEntry whose workload takes traffic only while its own probe succeeds (Istio's).
const MarkHealthChecks = "proxy.istio.io/health-checks-enabled"

// ConditionHealthy is the type of the condition that says so.
const ConditionHealthy = "Healthy"

// Probed is what the status of a WorkloadEntry says of its workload's health: what counts of it, HealthUnknown where nothing does.
func (o Object) Probed() Health {
	if checked, err := strconv.ParseBool(o.Meta.Annotations[MarkHealthChecks]); err != nil || !checked || o.Kind == nil || o.Kind.Kind != "WorkloadEntry" {
		return HealthUnknown
	}
	list, _ := o.Status["conditions"].([]any)
	for _, c := range list {
		if m, ok := c.(map[string]any); ok && m["type"] == ConditionHealthy && m["status"] == "True" {
			return HealthGood
		}
	}
	return HealthBad
}

// Valid says whether problems leave the object usable.
func Valid(problems []Problem) bool {
	for _, p := range problems {
		if p.Code.Fatal() {
			return false
		}
	}
	return true
}
