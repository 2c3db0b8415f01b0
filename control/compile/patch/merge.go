package patch

import (
	"fmt"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/heddle-mesh/heddle/control/compile/message"
	"github.com/heddle-mesh/heddle/mesh"
)

// mergeValue merges what a patch says into a message.
func (r *run) mergeValue(p *mesh.Patch, into, from proto.Message) error {
	if err := r.grow(p); err != nil {
		return err
	}
	return merge(into.ProtoReflect(), from.ProtoReflect(), p.Operation == mesh.PatchMergeLists)
}

// merge is Istio's: fields that are set take the place of others, messages are merged, lists are joined (or take the place of lists), entries of maps are replaced. Well-known values, such as
// durations and numbers that may be absent, are single values. A message in an Any is merged with one of the same type.
func merge(into, from protoreflect.Message, lists bool) (err error) {
	from.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.IsList():
			mergeList(into, f, v.List(), lists)
		case f.IsMap():
			m := into.Mutable(f).Map()
			v.Map().Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
				m.Set(k, clone(v))
				return true
			})
		case f.Message() == nil:
			into.Set(f, v)
		case f.Message().FullName() == "google.protobuf.Any":
			err = mergeAny(into, f, v, lists)
		case !into.Has(f) || strings.HasPrefix(string(f.Message().FullName()), "google.protobuf.") || otherSocket(into.Get(f).Message(), v.Message()):
			into.Set(f, clone(v))
		default:
			err = merge(into.Mutable(f).Message(), v.Message(), lists)
		}
		return err == nil
	})
	return err
}

func mergeList(into protoreflect.Message, f protoreflect.FieldDescriptor, from protoreflect.List, replace bool) {
	if replace {
		into.Clear(f)
	}
	to := into.Mutable(f).List()
	for i := range from.Len() {
		to.Append(clone(from.Get(i)))
	}
}

// clone copies a message; other values need no copy.
func clone(v protoreflect.Value) protoreflect.Value {
	if m, ok := v.Interface().(protoreflect.Message); ok {
		return protoreflect.ValueOfMessage(proto.Clone(m.Interface()).ProtoReflect())
	}
	return v
}

// otherSocket says whether two transport sockets are different ones.
func otherSocket(a, b protoreflect.Message) bool {
	x, ok := a.Interface().(*corev3.TransportSocket)
	y, ok2 := b.Interface().(*corev3.TransportSocket)
	return ok && ok2 && y.GetName() != "" && x.GetName() != y.GetName()
}

func mergeAny(into protoreflect.Message, f protoreflect.FieldDescriptor, v protoreflect.Value, lists bool) error {
	from, ok := v.Message().Interface().(*anypb.Any)
	if !ok || !into.Has(f) {
		into.Set(f, clone(v))
		return nil
	}
	to, ok := into.Get(f).Message().Interface().(*anypb.Any)
	if !ok || to.MessageName() != from.MessageName() {
		return fmt.Errorf("%s cannot be merged into %s", from.MessageName(), to.MessageName())
	}
	merged, err := mergedAny(to, from, lists)
	if err == nil {
		into.Set(f, protoreflect.ValueOfMessage(merged.ProtoReflect()))
	}
	return err
}

func mergedAny(to, from *anypb.Any, lists bool) (*anypb.Any, error) {
	a, err := to.UnmarshalNew()
	if err != nil {
		return nil, err
	}
	b, err := from.UnmarshalNew()
	if err != nil {
		return nil, err
	}
	if err := merge(a.ProtoReflect(), b.ProtoReflect(), lists); err != nil {
		return nil, err
	}
	return message.Any(a), nil
}
