package analyze

import (
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/heddle-mesh/heddle/api"
)

// deprecations looks for fields that the definitions of Istio's kinds mark so.
func (a *analysis) deprecations() {
	for _, r := range a.results {
		if spec, ok := r.Object.Spec.(proto.Message); ok && r.Object.Read {
			a.deprecated(r.Object, spec.ProtoReflect(), "spec")
		}
	}
}

func (a *analysis) deprecated(o api.Object, m protoreflect.Message, path string) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		field := path + "." + f.JSONName()
		if options, ok := f.Options().(*descriptorpb.FieldOptions); ok && options.GetDeprecated() {
			a.say("IST0002", o.Ref(), field, f.JSONName()+" is deprecated")
		}
		switch {
		case f.Message() == nil || f.IsMap() && f.MapValue().Message() == nil:
		case f.IsMap():
			v.Map().Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
				a.deprecated(o, v.Message(), fmt.Sprintf("%s[%q]", field, k.String()))
				return true
			})
		case f.IsList():
			for i := range v.List().Len() {
				a.deprecated(o, v.List().Get(i).Message(), at(field, i))
			}
		default:
			a.deprecated(o, v.Message(), field)
		}
		return true
	})
}
