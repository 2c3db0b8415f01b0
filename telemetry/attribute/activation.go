package attribute

import (
	"fmt"
	"reflect"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// activation gives CEL the roots of a source's attributes. Nothing is looked up before it is asked for.
type activation struct{ s Source }

// ResolveName implements cel.Activation.
func (a activation) ResolveName(name string) (any, bool) {
	if _, ok := known[name]; !ok {
		return nil, false
	}
	return object{find: func(field string) (any, bool) {
		if known[name][field] == ofTexts {
			return object{find: func(key string) (any, bool) { return a.s.Attribute(Name{Root: name, Field: field, Key: key}) }}, true
		}
		return a.s.Attribute(Name{Root: name, Field: field})
	}}, true
}

// Parent implements cel.Activation.
func (activation) Parent() cel.Activation { return nil }

// object is a map whose values are looked up.
type object struct {
	find func(string) (any, bool)
}

var _ traits.Mapper = object{}

// Find implements traits.Mapper.
func (o object) Find(key ref.Val) (ref.Val, bool) {
	name, ok := key.Value().(string)
	if !ok {
		return nil, false
	}
	v, ok := o.find(name)
	if !ok {
		return nil, false
	}
	if inner, ok := v.(object); ok {
		return inner, true
	}
	return types.DefaultTypeAdapter.NativeToValue(v), true
}

// Get implements traits.Indexer.
func (o object) Get(key ref.Val) ref.Val {
	if v, ok := o.Find(key); ok {
		return v
	}
	return types.NewErr("no such key: %v", key)
}

// Contains implements traits.Container.
func (o object) Contains(key ref.Val) ref.Val {
	_, ok := o.Find(key)
	return types.Bool(ok)
}

// Size implements traits.Sizer: what is there is not known before it is asked for.
func (object) Size() ref.Val { return types.NewErr("attributes cannot be counted") }

// Iterator implements traits.Iterable, for the same reason over nothing.
func (object) Iterator() traits.Iterator {
	return types.NewStringList(types.DefaultTypeAdapter, nil).Iterator()
}

// ConvertToNative implements ref.Val.
func (object) ConvertToNative(t reflect.Type) (any, error) {
	return nil, fmt.Errorf("attributes are no %s", t)
}

// ConvertToType implements ref.Val.
func (object) ConvertToType(t ref.Type) ref.Val {
	return types.NewErr("attributes are no %s", t.TypeName())
}

// Equal implements ref.Val.
func (object) Equal(ref.Val) ref.Val { return types.False }

// Type implements ref.Val.
func (object) Type() ref.Type { return types.MapType }

// Value implements ref.Val.
func (o object) Value() any { return o.find }
