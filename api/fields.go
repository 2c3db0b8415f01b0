package api

import (
	"fmt"
	"reflect"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Field is one populated field of an object.
type Field struct {
	Path   string // with indices: spec.http[0].match[1].statPrefix
	Value  string // of an enumeration or string, "" otherwise
	Reason string // why it is reported
}

// FieldSet is a table of fields that some code honours. Whatever else an object says is found by Unlisted, so that nothing is silently ignored.
type FieldSet struct {
	exact  map[string][]string // pattern → allowed values, nil allows all
	below  map[string]bool     // everything from this pattern down
	prefix map[string]bool     // some listed pattern lies below
}

// Fields builds a set from patterns below spec: "hosts", "http[].match[].uri.exact" (a list or map of messages has []), "selector.*" (all below),
// "tls.mode=SIMPLE|MUTUAL" (only these values; an enumeration that is not given counts as its first value).
func Fields(patterns ...string) FieldSet {
	s := FieldSet{exact: map[string][]string{}, below: map[string]bool{}, prefix: map[string]bool{}}
	for _, p := range patterns {
		p, values, limited := strings.Cut(p, "=")
		if rest, all := strings.CutSuffix(p, ".*"); all {
			s.below[rest] = true
			p = rest
		} else if limited {
			s.exact[p] = strings.Split(values, "|")
		} else {
			s.exact[p] = nil
		}
		for i := range p {
			if p[i] == '.' || p[i] == '[' {
				s.prefix[p[:i]] = true
				s.prefix[strings.TrimSuffix(p[:i], "[]")] = true
			}
		}
	}
	return s
}

// Union is the set of everything in either.
func (s FieldSet) Union(o FieldSet) FieldSet {
	u := Fields()
	for _, x := range []FieldSet{s, o} {
		for k, v := range x.exact {
			u.exact[k] = v
		}
		for k := range x.below {
			u.below[k] = true
		}
		for k := range x.prefix {
			u.prefix[k] = true
		}
	}
	return u
}

// Below is the set of the same fields below a field of the spec.
func (s FieldSet) Below(field string) FieldSet {
	out := Fields()
	for k, v := range s.exact {
		out.exact[field+"."+k] = v
	}
	for k := range s.below {
		out.below[field+"."+k] = true
	}
	for k := range s.prefix {
		out.prefix[field+"."+k] = true
	}
	out.prefix[field] = true
	return out
}

// Unlisted gives the populated fields of a spec that the set does not list, outermost first, in the order of the schema.
func (s FieldSet) Unlisted(spec any) []Field {
	w := walk{set: s}
	if m, ok := spec.(proto.Message); ok {
		w.message(m.ProtoReflect(), "", "spec")
	} else {
		w.structure(reflect.ValueOf(spec), "", "spec")
	}
	return w.out
}

type walk struct {
	set FieldSet
	out []Field
}

func (w *walk) report(path, value string) { w.out = append(w.out, Field{Path: path, Value: value}) }

// leaf judges a scalar, enumeration or well-known type.
func (w *walk) leaf(pattern, path, value string) {
	allowed, ok := w.set.exact[pattern]
	if !ok {
		w.report(path, value)
		return
	}
	if allowed != nil {
		for _, a := range allowed {
			if a == value {
				return
			}
		}
		w.report(path, value)
	}
}

// descend says whether the fields below must be looked at one by one; otherwise it has judged the whole.
func (w *walk) descend(pattern, path string) bool {
	if w.set.below[pattern] {
		return false
	}
	if w.set.prefix[pattern] {
		return true
	}
	if _, ok := w.set.exact[pattern]; !ok {
		w.report(path, "")
	}
	return false
}

func (w *walk) message(m protoreflect.Message, pattern, path string) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		name := fd.JSONName()
		p, at := join(pattern, name), join(path, name)
		if !m.Has(fd) {
			if fd.Enum() != nil && !fd.IsList() && fd.ContainingOneof() == nil && w.set.exact[p] != nil {
				w.leaf(p, at, enumName(fd.Enum(), 0))
			}
			continue
		}
		v := m.Get(fd)
		switch {
		case fd.IsMap():
			w.mapField(fd, v.Map(), p, at)
		case fd.IsList() && isMessage(fd):
			if w.descend(p, at) {
				for j := range v.List().Len() {
					w.value(fd, v.List().Get(j), p+"[]", fmt.Sprintf("%s[%d]", at, j))
				}
			}
		case fd.IsList():
			w.scalars(p, at)
		default:
			w.value(fd, v, p, at)
		}
	}
}

func (w *walk) mapField(fd protoreflect.FieldDescriptor, m protoreflect.Map, pattern, path string) {
	if !isMessage(fd.MapValue()) {
		w.scalars(pattern, path)
		return
	}
	if !w.descend(pattern, path) {
		return
	}
	byKey := map[string]protoreflect.Value{}
	m.Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
		byKey[k.String()] = v
		return true
	})
	for _, k := range sortedKeys(byKey) {
		w.value(fd.MapValue(), byKey[k], pattern+"[]", keyed(path, k))
	}
}

func (w *walk) scalars(pattern, path string) {
	if !w.set.below[pattern] {
		w.leaf(pattern, path, "")
	}
}

func (w *walk) value(fd protoreflect.FieldDescriptor, v protoreflect.Value, pattern, path string) {
	switch {
	case isMessage(fd):
		if w.descend(pattern, path) {
			w.message(v.Message(), pattern, path)
		}
	case w.set.below[pattern]:
	case fd.Enum() != nil:
		w.leaf(pattern, path, enumName(fd.Enum(), v.Enum()))
	case fd.Kind() == protoreflect.StringKind:
		w.leaf(pattern, path, v.String())
	default:
		w.leaf(pattern, path, "")
	}
}

// isMessage says whether a field holds a message with fields of its own; well-known types are leaves.
func isMessage(fd protoreflect.FieldDescriptor) bool {
	return fd.Message() != nil && !strings.HasPrefix(string(fd.Message().FullName()), "google.protobuf.")
}

func enumName(ed protoreflect.EnumDescriptor, n protoreflect.EnumNumber) string {
	if v := ed.Values().ByNumber(n); v != nil {
		return string(v.Name())
	}
	return fmt.Sprint(n)
}

// structure walks a Go value of the Gateway API by the names in its json tags; what is not populated is its zero value.
func (w *walk) structure(v reflect.Value, pattern, path string) {
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		if v.IsNil() {
			return
		}
		v = v.Elem()
	}
	for i := range v.NumField() {
		sf, fv := v.Type().Field(i), v.Field(i)
		name, _, _ := strings.Cut(sf.Tag.Get("json"), ",")
		switch {
		case name == "-" || !sf.IsExported():
		case sf.Anonymous && name == "":
			w.structure(fv, pattern, path)
		case fv.IsZero() || (fv.Kind() == reflect.Slice || fv.Kind() == reflect.Map) && fv.Len() == 0:
		default:
			w.goValue(fv, join(pattern, name), join(path, name))
		}
	}
}

func (w *walk) goValue(v reflect.Value, pattern, path string) {
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	if w.set.below[pattern] {
		return
	}
	switch {
	case v.Kind() == reflect.Struct && !reflect.PointerTo(v.Type()).Implements(unmarshaler):
		if w.descend(pattern, path) {
			w.structure(v, pattern, path)
		}
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() != reflect.Uint8:
		if elem := v.Type().Elem(); elem.Kind() != reflect.Struct && elem.Kind() != reflect.Pointer {
			w.leaf(pattern, path, "")
		} else if w.descend(pattern, path) {
			for i := range v.Len() {
				w.goValue(v.Index(i), pattern+"[]", fmt.Sprintf("%s[%d]", path, i))
			}
		}
	case v.Kind() == reflect.String:
		w.leaf(pattern, path, v.String())
	default:
		w.leaf(pattern, path, "")
	}
}

// MessageHas says whether a pattern names a field of a message's schema.
func MessageHas(md protoreflect.MessageDescriptor, pattern string) bool {
	for part := range strings.SplitSeq(pattern, ".") {
		if md == nil {
			return false
		}
		name, many := strings.CutSuffix(part, "[]")
		fd := md.Fields().ByJSONName(name)
		if fd == nil || many && !fd.IsList() && !fd.IsMap() {
			return false
		}
		if fd.IsMap() {
			fd = fd.MapValue()
		}
		md = fd.Message()
	}
	return true
}
