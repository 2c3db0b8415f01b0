// Package ledger lists what users can write in the routing languages: a row for each field, each value of an enumeration, each annotation and label, read from the modules
// that define them.
//
// In: the schemas, and documents as maps of JSON. Out: Rows, which of them a document has, and the document without one. Pure; safe for concurrent use.
package ledger

import (
	"cmp"
	"reflect"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"istio.io/api/annotation"
	"istio.io/api/label"
	meshconfig "istio.io/api/mesh/v1alpha1"

	"github.com/heddle-mesh/heddle/api"
)

// Row is one thing that a user can write.
type Row struct {
	Subject string // KIND, KIND.GROUP where a kind's name is not enough, MeshConfig, MeshNetworks, or Annotations and Labels
	Path    string // below spec, with [] behind lists and {} behind maps: http[].match[].headers{}.exact; of a mark its key
	Value   string // of an enumeration; "" for other fields and for marks
}

// String is PATH or PATH=VALUE.
func (r Row) String() string {
	if r.Value == "" {
		return r.Path
	}
	return r.Path + "=" + r.Value
}

// Compare orders rows as the schemas do not: by subject, path, value.
func Compare(a, b Row) int {
	return cmp.Or(cmp.Compare(a.Subject, b.Subject), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Value, b.Value))
}

// The subjects that are no kinds.
const (
	MeshConfig   = "MeshConfig"
	MeshNetworks = "MeshNetworks"
	Annotations  = "Annotations"
	Labels       = "Labels"
)

// Subject is the name under which the ledger has a kind.
func Subject(k *api.Kind) string {
	if k.Kind == "Gateway" && k.Group == api.GroupGateway {
		return "Gateway (Gateway API)"
	}
	return k.Kind
}

// Kinds are the kinds whose fields are in the ledger.
func Kinds() []*api.Kind {
	var out []*api.Kind
	for _, k := range api.Kinds {
		if k.Istio() || k.Gateway() {
			out = append(out, k)
		}
	}
	return out
}

// Rows are all rows, subject by subject, each in the order of its schema.
func Rows() []Row {
	var out []Row
	for _, k := range Kinds() {
		spec := k.NewSpec()
		if m, ok := spec.(proto.Message); ok {
			out = append(out, message(Subject(k), "", m.ProtoReflect().Descriptor(), 0)...)
		} else {
			out = append(out, structure(Subject(k), "", reflect.TypeOf(spec).Elem(), 0)...)
		}
	}
	out = append(out, message(MeshConfig, "", (&meshconfig.MeshConfig{}).ProtoReflect().Descriptor(), 0)...)
	out = append(out, message(MeshNetworks, "", (&meshconfig.MeshNetworks{}).ProtoReflect().Descriptor(), 0)...)
	var marks []Row
	for _, a := range annotation.AllResourceAnnotations() {
		marks = append(marks, Row{Subject: Annotations, Path: a.Name})
	}
	for _, l := range label.AllResourceLabels() {
		marks = append(marks, Row{Subject: Labels, Path: l.Name})
	}
	slices.SortFunc(marks, Compare)
	return append(out, marks...)
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// deepest ends schemas that hold themselves.
const deepest = 14

// message lists the leaves of a message: scalars, well-known types, messages without fields, and the values of enumerations but for the one that stands for "not said".
func message(subject, path string, md protoreflect.MessageDescriptor, depth int) (out []Row) {
	for i := range md.Fields().Len() {
		fd := md.Fields().Get(i)
		at, inner := join(path, fd.JSONName()), fd.Message()
		switch {
		case fd.IsMap():
			at, inner = at+"{}", fd.MapValue().Message()
		case fd.IsList():
			at += "[]"
		}
		switch {
		case inner != nil && depth < deepest && inner.Fields().Len() > 0 && !strings.HasPrefix(string(inner.FullName()), "google.protobuf."):
			out = append(out, message(subject, at, inner, depth+1)...)
		case fd.Enum() != nil:
			out = append(out, values(subject, at, fd.Enum())...)
		default:
			out = append(out, Row{Subject: subject, Path: at})
		}
	}
	return out
}

func values(subject, path string, e protoreflect.EnumDescriptor) (out []Row) {
	for i := range e.Values().Len() {
		if v := e.Values().Get(i); v.Number() != 0 {
			out = append(out, Row{Subject: subject, Path: path, Value: string(v.Name())})
		}
	}
	return out
}
