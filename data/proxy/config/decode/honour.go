// Package decode turns Envoy's resources (xDS v3) and bootstrap files into the proxy's own plain configuration, or says what it cannot honour.
//
// In: encoded or typed resources. Out: values of package config, or Problems, each with the path of the field. A field that is populated and not in the table of
// honoured fields is a problem, whatever it is: nothing that was configured is ignored. Everything is pure and safe for concurrent use.
package decode

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

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

// Problems is a non-empty list of problems as an error.
type Problems []Problem

// Error lists the first few problems in one line.
func (p Problems) Error() string {
	const most = 8
	parts := make([]string, 0, most+1)
	for i, one := range p {
		if i == most {
			parts = append(parts, fmt.Sprintf("and %d more", len(p)-most))
			break
		}
		parts = append(parts, one.String())
	}
	return strings.Join(parts, "; ")
}

// problems collects while reading goes on, so that a user sees all of them at once.
type problems struct{ list Problems }

func (p *problems) add(path, format string, args ...any) {
	p.list = append(p.list, Problem{Path: path, Reason: fmt.Sprintf(format, args...)})
}

func (p *problems) err() error {
	if len(p.list) == 0 {
		return nil
	}
	return p.list
}

// rule says how the fields of a message are treated.
type rule struct {
	fields map[protoreflect.Name]bool
	values []check
	opaque bool // everything below is taken as it is (well-known types, metadata)
	// refused are fields of which there is more to say than that they are not supported.
	refused map[protoreflect.Name]string
}

// refuse adds a field that is not honoured, with the reason.
func (r rule) refuse(field protoreflect.Name, reason string) rule {
	if r.refused == nil {
		r.refused = map[protoreflect.Name]string{}
	}
	r.refused[field] = reason
	return r
}

// check refuses some values of a honoured field.
type check struct {
	field protoreflect.Name
	fault func(protoreflect.Value) string // "" is fine
}

// honour reports every populated field below m that the table does not list. Any values are opened by their type.
func (p *problems) honour(path string, m protoreflect.Message) {
	name := m.Descriptor().FullName()
	if name == "google.protobuf.Any" {
		p.honourAny(path, m)
		return
	}
	r, ok := honoured[name]
	if !ok {
		p.add(path, "%s is not supported", short(name))
		return
	}
	if r.opaque {
		return
	}
	if u := m.GetUnknown(); len(u) > 0 {
		p.add(path, "%s has fields that this version does not know", short(name))
	}
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		at := join(path, string(f.Name()))
		if !r.fields[f.Name()] {
			p.add(at, "%s", cmp.Or(r.refused[f.Name()], "the field is not supported"))
			return true
		}
		p.honourValue(at, f, v)
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
}

func (p *problems) honourValue(at string, f protoreflect.FieldDescriptor, v protoreflect.Value) {
	switch {
	case f.IsMap():
		if f.MapValue().Message() == nil {
			return
		}
		v.Map().Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
			p.honour(fmt.Sprintf("%s[%q]", at, k.String()), v.Message())
			return true
		})
	case f.Message() == nil:
	case f.IsList():
		for i := range v.List().Len() {
			p.honour(fmt.Sprintf("%s[%d]", at, i), v.List().Get(i).Message())
		}
	default:
		p.honour(at, v.Message())
	}
}

func (p *problems) honourAny(path string, m protoreflect.Message) {
	a, ok := m.Interface().(*anypb.Any)
	if !ok {
		p.add(path, "broken Any")
		return
	}
	inner, err := open(a)
	if err != nil {
		p.add(path, "%v", err)
		return
	}
	p.honour(path, inner.ProtoReflect())
}

// open unpacks an Any of a type that is linked into this binary.
func open(a *anypb.Any) (proto.Message, error) {
	name := a.MessageName()
	if _, ok := honoured[name]; !ok {
		return nil, fmt.Errorf("%s is not supported", short(name))
	}
	t, err := protoregistry.GlobalTypes.FindMessageByName(name)
	if err != nil {
		return nil, fmt.Errorf("%s is not supported", short(name))
	}
	m := t.New().Interface()
	if err := proto.Unmarshal(a.GetValue(), m); err != nil {
		return nil, fmt.Errorf("%s does not decode: %w", short(name), err)
	}
	return m, nil
}

// into unpacks an Any that honour has already looked at.
func into[M proto.Message](p *problems, path string, a *anypb.Any) (m M, ok bool) {
	inner, err := open(a)
	if err != nil {
		return m, false // reported by honour
	}
	if m, ok = inner.(M); !ok {
		p.add(path, "%s is not expected here, want %s", short(a.MessageName()), short(m.ProtoReflect().Descriptor().FullName()))
	}
	return m, ok
}

// short is a message's name without the packages that everybody knows.
func short(n protoreflect.FullName) string {
	if n == "" {
		return "a message without a type"
	}
	return string(n)
}

func join(path, field string) string {
	if path == "" {
		return field
	}
	return path + "." + field
}

func at(path, field string, i int) string { return fmt.Sprintf("%s[%d]", join(path, field), i) }

// sorted gives problems in the order of their paths, without repetition: reflection walks fields in no particular order.
func sorted(list Problems) Problems {
	slices.SortStableFunc(list, func(a, b Problem) int {
		if c := strings.Compare(a.Path, b.Path); c != 0 {
			return c
		}
		return strings.Compare(a.Reason, b.Reason)
	})
	return slices.Compact(list)
}

func indexed(i int) string { return fmt.Sprintf("[%d]", i) }
