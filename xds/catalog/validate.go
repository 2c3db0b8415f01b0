package catalog

import (
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
)

// validated is what protoc-gen-validate gives every message: Envoy checks the same rules, and refuses what breaks them.
type validated interface{ Validate() error }

// Validate says which rule of Envoy's a message breaks, those of messages within Any values included; nil when it breaks none.
func Validate(m proto.Message) error {
	if v, ok := m.(validated); ok {
		if err := v.Validate(); err != nil {
			return err
		}
	}
	return validateBelow(m.ProtoReflect(), 0)
}

// validateBelow looks into Any values, which the rules of a message do not reach.
func validateBelow(m protoreflect.Message, depth int) (err error) {
	if depth > 2*mostDepth {
		return fmt.Errorf("it is nested too deep")
	}
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.IsMap():
			if f.MapValue().Message() != nil {
				v.Map().Range(func(_ protoreflect.MapKey, e protoreflect.Value) bool {
					if one := validateValue(e.Message(), depth); one != nil && (err == nil || one.Error() < err.Error()) {
						err = one // entries come in no order: always the same one is told
					}
					return true
				})
			}
		case f.Message() == nil:
		case f.IsList():
			for i := 0; i < v.List().Len() && err == nil; i++ {
				err = validateValue(v.List().Get(i).Message(), depth)
			}
		default:
			err = validateValue(v.Message(), depth)
		}
		return err == nil
	})
	return err
}

func validateValue(m protoreflect.Message, depth int) error {
	a, ok := m.Interface().(*anypb.Any)
	if !ok {
		return validateBelow(m, depth+1)
	}
	inner, err := a.UnmarshalNew()
	if err != nil {
		return fmt.Errorf("%s: %w", a.MessageName(), err)
	}
	if v, ok := inner.(validated); ok {
		if err := v.Validate(); err != nil {
			return err
		}
	}
	return validateBelow(inner.ProtoReflect(), depth+1)
}
