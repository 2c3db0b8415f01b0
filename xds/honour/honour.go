// Package honour says which fields of Envoy's messages heddle-proxy honours: one table for the proxy, which refuses all others, and for the control plane, which does not send them.
//
// In: a message. Out: Problems, each with the path of the field and the reason. The types that an Any may hold are those that are linked into the program. Everything is
// pure and safe for concurrent use.
package honour

import (
	"cmp"
	"fmt"
	"iter"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/anypb"
)

// Problem is one thing that cannot be honoured.
type Problem struct {
	Path   string // listeners[0].filter_chains[1].filters[0].typed_config.http_filters[2]...
	Reason string
}

// String is PATH: REASON.
func (p Problem) String() string {
	if p.Path == "" {
		return p.Reason
	}
	return p.Path + ": " + p.Reason
}

// Check reports every populated field below m that the table does not list, in no order. Any values are opened by their type.
func Check(path string, m protoreflect.Message) []Problem {
	var p problems
	p.message(path, m)
	return p.list
}

// Messages goes through the table, in no order.
func Messages() iter.Seq2[protoreflect.FullName, Rule] {
	return func(yield func(protoreflect.FullName, Rule) bool) {
		for name, r := range honoured {
			if !yield(name, r) {
				return
			}
		}
	}
}

// RuleOf is what the table says of a message, and false for one that is not in it.
func RuleOf(name protoreflect.FullName) (Rule, bool) {
	r, ok := honoured[name]
	return r, ok
}

// Opaque says whether everything below the message is taken as it is.
func (r Rule) Opaque() bool { return r.opaque }

// Fields goes through the honoured fields, in no order.
func (r Rule) Fields() iter.Seq[protoreflect.Name] {
	return func(yield func(protoreflect.Name) bool) {
		for f := range r.fields {
			if !yield(f) {
				return
			}
		}
	}
}

// problems collects while a message is walked through.
type problems struct{ list []Problem }

func (p *problems) add(path, format string, args ...any) {
	p.list = append(p.list, Problem{Path: path, Reason: fmt.Sprintf(format, args...)})
}

// Rule says how the fields of a message are treated.
type Rule struct {
	fields map[protoreflect.Name]bool
	values []check
	opaque bool // everything below is taken as it is (well-known types, metadata)
	// together refuses what a field says beside the others of its message.
	together []together
	// refused are fields of which there is more to say than that they are not supported.
	refused map[protoreflect.Name]string
}

// refuse adds a field that is not honoured, with the reason.
func (r Rule) refuse(field protoreflect.Name, reason string) Rule {
	if r.refused == nil {
		r.refused = map[protoreflect.Name]string{}
	}
	r.refused[field] = reason
	return r
}

// beside adds a check of what a field says beside the others of its message.
func (r Rule) beside(field protoreflect.Name, fault func(protoreflect.Message) string) Rule {
	r.together = append(r.together, together{field, fault})
	return r
}

// together is a check of a field that looks at its whole message.
type together struct {
	field protoreflect.Name
	fault func(protoreflect.Message) string // "" is fine
}

// check refuses some values of a honoured field.
type check struct {
	field protoreflect.Name
	fault func(protoreflect.Value) string // "" is fine
}

// message reports every populated field below m that the table does not list. Any values are opened by their type.
func (p *problems) message(path string, m protoreflect.Message) {
	name := m.Descriptor().FullName()
	if name == "google.protobuf.Any" {
		p.any(path, m)
		return
	}
	r, ok := honoured[name]
	if !ok {
		p.add(path, "%s is not supported", name)
		return
	}
	if r.opaque {
		return
	}
	if u := m.GetUnknown(); len(u) > 0 {
		p.add(path, "%s has fields that this version does not know", name)
	}
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		at := join(path, string(f.Name()))
		if !r.fields[f.Name()] {
			p.add(at, "%s", cmp.Or(r.refused[f.Name()], "the field is not supported"))
			return true
		}
		p.value(at, f, v)
		return true
	})
	for _, c := range r.values {
		f := m.Descriptor().Fields().ByName(c.field)
		if f != nil && (m.Has(f) || !f.HasPresence()) {
			if fault := c.fault(m.Get(f)); fault != "" {
				p.add(join(path, string(c.field)), "%s", fault)
			}
		}
	}
	for _, c := range r.together {
		if fault := c.fault(m); fault != "" {
			p.add(join(path, string(c.field)), "%s", fault)
		}
	}
}

func (p *problems) value(at string, f protoreflect.FieldDescriptor, v protoreflect.Value) {
	switch {
	case f.IsMap():
		if f.MapValue().Message() == nil {
			return
		}
		v.Map().Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
			p.message(fmt.Sprintf("%s[%q]", at, k.String()), v.Message())
			return true
		})
	case f.Message() == nil:
	case f.IsList():
		for i := range v.List().Len() {
			p.message(fmt.Sprintf("%s[%d]", at, i), v.List().Get(i).Message())
		}
	default:
		p.message(at, v.Message())
	}
}

func (p *problems) any(path string, m protoreflect.Message) {
	a, ok := m.Interface().(*anypb.Any)
	if !ok {
		p.add(path, "broken Any")
		return
	}
	inner, err := Open(a)
	if err != nil {
		p.add(path, "%v", err)
		return
	}
	p.message(path, inner.ProtoReflect())
}

// Open unpacks an Any of a type that is linked into this binary.
func Open(a *anypb.Any) (proto.Message, error) {
	name := a.MessageName()
	if _, ok := honoured[name]; !ok {
		return nil, fmt.Errorf("%s is not supported", name)
	}
	t, err := protoregistry.GlobalTypes.FindMessageByName(name)
	if err != nil {
		return nil, fmt.Errorf("%s is not supported", name)
	}
	m := t.New().Interface()
	if err := proto.Unmarshal(a.GetValue(), m); err != nil {
		return nil, fmt.Errorf("%s does not decode: %w", name, err)
	}
	return m, nil
}

func join(path, field string) string {
	if path == "" {
		return field
	}
	return path + "." + field
}
