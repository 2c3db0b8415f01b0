// Package catalog knows every type of Envoy's configuration by its name, reads such messages as users write them, and says what Envoy would refuse of them.
//
// In: plain values (JSON in its general form) and the name of a message. Out: the message, or Problems with the paths of the fields. Strict: an unknown field, an unknown type
// and a value that does not fit are problems. Pure and safe for concurrent use; what is read is bounded in size and depth.
package catalog

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	_ "github.com/cncf/xds/go/udpa/type/v1" // TypedStruct
	_ "github.com/cncf/xds/go/xds/type/v3"
)

// The bounds of one value.
const (
	mostBytes = 256 << 10
	mostDepth = 64
)

// Problem is something in a value that cannot be.
type Problem struct {
	Path   string // of the field, as it was written: typed_config.http_filters[2]
	Reason string
	// Unknown says that there is no such field or type.
	Unknown bool
}

// anyName is the type whose JSON form names another one.
const anyName = "google.protobuf.Any"

// The types that hold a message of another type in plain form; the message itself takes their place.
var typedStructs = map[protoreflect.FullName]bool{"udpa.type.v1.TypedStruct": true, "xds.type.v3.TypedStruct": true}

// Read makes a message of plain values.
func Read(name protoreflect.FullName, tree map[string]any) (proto.Message, []Problem) {
	t, err := protoregistry.GlobalTypes.FindMessageByName(name)
	if err != nil {
		return nil, []Problem{{Reason: fmt.Sprintf("there is no type %s", name), Unknown: true}}
	}
	var r reader
	tree = r.message("", tree, t.Descriptor(), 0)
	if len(r.problems) > 0 {
		return nil, r.problems
	}
	if tree == nil {
		tree = map[string]any{}
	}
	data, err := json.Marshal(tree)
	if err != nil {
		return nil, []Problem{{Reason: err.Error()}}
	}
	if len(data) > mostBytes {
		return nil, []Problem{{Reason: fmt.Sprintf("it has %d bytes, and %d are allowed", len(data), mostBytes)}}
	}
	m := t.New().Interface()
	if err := protojson.Unmarshal(data, m); err != nil {
		return nil, []Problem{locate("", tree, t, err)}
	}
	return m, nil
}

// reader walks through a tree beside the descriptor of its message.
type reader struct{ problems []Problem }

func (r *reader) add(path string, unknown bool, format string, args ...any) {
	if len(r.problems) < 16 {
		r.problems = append(r.problems, Problem{Path: path, Reason: fmt.Sprintf(format, args...), Unknown: unknown})
	}
}

// message reports the keys that a message does not have, and puts messages in the place of typed structs.
func (r *reader) message(path string, tree map[string]any, d protoreflect.MessageDescriptor, depth int) map[string]any {
	if depth > mostDepth {
		r.add(path, false, "it is nested deeper than %d messages", mostDepth)
		return tree
	}
	if d.FullName() == anyName {
		return r.any(path, tree, depth)
	}
	if strings.HasPrefix(string(d.FullName()), "google.protobuf.") {
		return tree // well-known types have forms of their own
	}
	out := make(map[string]any, len(tree))
	for _, key := range slices.Sorted(maps.Keys(tree)) {
		f := field(d, key)
		if f == nil {
			r.add(join(path, key), true, "%s has no such field", d.FullName())
			continue
		}
		out[key] = r.value(join(path, key), tree[key], f, depth)
	}
	return out
}

func field(d protoreflect.MessageDescriptor, key string) protoreflect.FieldDescriptor {
	if f := d.Fields().ByJSONName(key); f != nil {
		return f
	}
	return d.Fields().ByTextName(key)
}

func (r *reader) value(path string, v any, f protoreflect.FieldDescriptor, depth int) any {
	below := f.Message()
	if f.IsMap() {
		below = f.MapValue().Message()
	}
	if below == nil {
		return v
	}
	switch v := v.(type) {
	case map[string]any:
		if !f.IsMap() {
			return r.message(path, v, below, depth+1)
		}
		out := make(map[string]any, len(v))
		for k, e := range v {
			if m, ok := e.(map[string]any); ok {
				e = r.message(fmt.Sprintf("%s[%q]", path, k), m, below, depth+1)
			}
			out[k] = e
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			if m, ok := e.(map[string]any); ok && f.IsList() {
				e = r.message(fmt.Sprintf("%s[%d]", path, i), m, below, depth+1)
			}
			out[i] = e
		}
		return out
	}
	return v
}

// any reads a value that names its type.
func (r *reader) any(path string, tree map[string]any, depth int) map[string]any {
	url, _ := tree["@type"].(string)
	name := protoreflect.FullName(url[strings.LastIndexByte(url, '/')+1:])
	rest := maps.Clone(tree)
	delete(rest, "@type")
	if typedStructs[name] {
		return r.typedStruct(path, rest, depth)
	}
	t, err := protoregistry.GlobalTypes.FindMessageByName(name)
	switch {
	case url == "":
		r.add(join(path, "@type"), true, "the type is not named: want type.googleapis.com/envoy....")
		return tree
	case err != nil:
		r.add(join(path, "@type"), true, "Envoy 1.40 has no type %s", name)
		return tree
	case depth > mostDepth:
		r.add(path, false, "it is nested deeper than %d messages", mostDepth)
		return tree
	}
	out := r.message(path, rest, t.Descriptor(), depth+1)
	out = maps.Clone(out)
	out["@type"] = url
	return out
}

// typedStruct gives the message of a typed struct in its place. A key that it does not have is no less a mistake than elsewhere: the message would be empty, and an empty one may allow everything.
func (r *reader) typedStruct(path string, tree map[string]any, depth int) map[string]any {
	named := map[string]any{}
	for _, key := range slices.Sorted(maps.Keys(tree)) {
		switch key {
		case "type_url", "typeUrl":
			named["@type"] = tree[key]
		case "value":
			inner, ok := tree[key].(map[string]any)
			if !ok {
				r.add(join(path, key), false, "want a message")
			}
			if _, ok := inner["@type"]; ok {
				r.add(join(path, "value.@type"), true, "the type is named by type_url")
			}
			for k, v := range inner {
				if k != "@type" {
					named[k] = v
				}
			}
		default:
			r.add(join(path, key), true, "a TypedStruct has no such field")
		}
	}
	return r.any(join(path, "value"), named, depth+1)
}

// locate finds the innermost field that does not decode.
func locate(path string, tree map[string]any, t protoreflect.MessageType, err error) Problem {
	for _, key := range slices.Sorted(maps.Keys(tree)) {
		f := field(t.Descriptor(), key)
		if f == nil || decodes(t, map[string]any{key: tree[key]}) {
			continue
		}
		at := join(path, key)
		below := f.Message()
		if below == nil || f.IsMap() {
			return Problem{Path: at, Reason: reason(err)}
		}
		if list, ok := tree[key].([]any); ok && f.IsList() {
			for i, e := range list {
				if m, ok := e.(map[string]any); ok && !decodes(t, map[string]any{key: []any{e}}) {
					return inside(fmt.Sprintf("%s[%d]", at, i), m, below, err)
				}
			}
			return Problem{Path: at, Reason: reason(err)}
		}
		if m, ok := tree[key].(map[string]any); ok {
			return inside(at, m, below, err)
		}
		return Problem{Path: at, Reason: reason(err)}
	}
	return Problem{Path: path, Reason: reason(err)}
}

func inside(path string, tree map[string]any, d protoreflect.MessageDescriptor, err error) Problem {
	name := d.FullName()
	if name == anyName {
		url, _ := tree["@type"].(string)
		name = protoreflect.FullName(url[strings.LastIndexByte(url, '/')+1:])
		tree = maps.Clone(tree)
		delete(tree, "@type")
	}
	t, missing := protoregistry.GlobalTypes.FindMessageByName(name)
	if missing != nil || strings.HasPrefix(string(name), "google.protobuf.") {
		return Problem{Path: path, Reason: reason(err)}
	}
	return locate(path, tree, t, err)
}

func decodes(t protoreflect.MessageType, tree map[string]any) bool {
	data, err := json.Marshal(tree)
	return err == nil && protojson.Unmarshal(data, t.New().Interface()) == nil
}

// reason leaves out where in the encoded text an error was found, which nobody has seen.
func reason(err error) string {
	s := strings.ReplaceAll(err.Error(), "\u00a0", " ") // protojson varies its spaces so that nobody compares its errors
	s = strings.TrimPrefix(s, "proto: ")
	if strings.HasPrefix(s, "(line ") {
		if _, rest, ok := strings.Cut(s, "): "); ok {
			s = rest
		}
	}
	return s
}

func join(path, field string) string {
	if path == "" {
		return field
	}
	return path + "." + field
}
