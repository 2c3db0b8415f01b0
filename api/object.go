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

// Valid says whether problems leave the object usable.
func Valid(problems []Problem) bool {
	for _, p := range problems {
		if p.Code.Fatal() {
			return false
		}
	}
	return true
}
