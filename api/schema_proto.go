package api

import (
	"encoding/base64"
	"fmt"
	"maps"
	"math"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// checkMessage compares a document with a protobuf schema, by JSON name or by proto name.
func checkMessage(f *findings, md protoreflect.MessageDescriptor, m map[string]any, path string) {
	fields := md.Fields()
	oneofs, seen := map[string]string{}, map[protoreflect.Name]string{}
	byName, written := m, map[string]string(nil) // for the rules: by JSON name, and which fields have another one in the document
	for _, key := range sortedKeys(m) {
		v := m[key]
		fd := fields.ByJSONName(key)
		if fd == nil {
			fd = fields.ByTextName(key)
		}
		if fd == nil {
			f.unknown(join(path, key), key, protoNames(fields))
			continue
		}
		if v == nil {
			continue
		}
		if other, twice := seen[fd.Name()]; twice {
			f.wrong(join(path, key), "%s and %s are the same field", other, key)
		}
		seen[fd.Name()] = key
		if name := fd.JSONName(); name != key {
			if written == nil {
				byName, written = maps.Clone(m), map[string]string{}
			}
			byName[name], written[name] = v, key
		}
		if o := fd.ContainingOneof(); o != nil && !o.IsSynthetic() {
			if other, taken := oneofs[string(o.Name())]; taken {
				f.wrong(join(path, key), "only one of %s and %s may be given", other, key)
			}
			oneofs[string(o.Name())] = key
		}
		checkField(f, fd, v, join(path, key))
	}
	checkRules(f, md.FullName(), byName, path, written)
}

func protoNames(fields protoreflect.FieldDescriptors) []string {
	var names []string
	for i := range fields.Len() {
		names = append(names, fields.Get(i).JSONName())
	}
	return names
}

func checkField(f *findings, fd protoreflect.FieldDescriptor, v any, path string) {
	switch {
	case fd.IsMap():
		m, ok := v.(map[string]any)
		if !ok {
			f.wrong(path, "want an object of key and value, not %s", typeName(v))
			return
		}
		for _, k := range sortedKeys(m) {
			if fd.MapKey().Kind() != protoreflect.StringKind {
				checkScalar(f, fd.MapKey().Kind(), k, keyed(path, k))
			}
			checkValue(f, fd.MapValue(), m[k], keyed(path, k))
		}
	case fd.IsList():
		list, ok := v.([]any)
		if !ok {
			f.wrong(path, "want a list, not %s", typeName(v))
			return
		}
		for i, e := range list {
			checkValue(f, fd, e, fmt.Sprintf("%s[%d]", path, i))
		}
	default:
		checkValue(f, fd, v, path)
	}
}

func keyed(path, key string) string { return path + "[" + strconv.Quote(key) + "]" }

func checkValue(f *findings, fd protoreflect.FieldDescriptor, v any, path string) {
	if md := fd.Message(); md != nil {
		if strings.HasPrefix(string(md.FullName()), "google.protobuf.") {
			checkWellKnown(f, md, v, path)
			return
		}
		m, ok := v.(map[string]any)
		if !ok {
			f.wrong(path, "want an object, not %s", typeName(v))
			return
		}
		checkMessage(f, md, m, path)
		return
	}
	if ed := fd.Enum(); ed != nil {
		checkEnum(f, ed, v, path)
		return
	}
	checkScalar(f, fd.Kind(), v, path)
}

func checkWellKnown(f *findings, md protoreflect.MessageDescriptor, v any, path string) {
	switch md.Name() {
	case "Duration":
		s, ok := v.(string)
		if _, err := time.ParseDuration(s); !ok || err != nil {
			f.wrong(path, "want a duration such as 1.5s, 100ms or 2m, not %v", v)
		}
	case "Timestamp":
		s, ok := v.(string)
		if _, err := time.Parse(time.RFC3339Nano, s); !ok || err != nil {
			f.wrong(path, "want a time such as 2026-01-02T15:04:05Z, not %v", v)
		}
	case "Struct":
		if _, ok := v.(map[string]any); !ok {
			f.wrong(path, "want an object, not %s", typeName(v))
		}
	case "Value", "ListValue", "Any", "Empty":
	default: // the wrappers
		if inner := md.Fields().ByName("value"); inner != nil && inner.Message() == nil {
			checkScalar(f, inner.Kind(), v, path)
		}
	}
}

func checkEnum(f *findings, ed protoreflect.EnumDescriptor, v any, path string) {
	values := ed.Values()
	switch x := v.(type) {
	case string:
		if values.ByName(protoreflect.Name(x)) != nil {
			return
		}
		names := make([]string, 0, values.Len())
		for i := range values.Len() {
			names = append(names, string(values.Get(i).Name()))
		}
		f.wrong(path, "%q is not one of %s", x, strings.Join(names, ", "))
	case int64:
		if x != int64(int32(x)) || values.ByNumber(protoreflect.EnumNumber(x)) == nil {
			f.wrong(path, "%d is not a value of %s", x, ed.Name())
		}
	default:
		f.wrong(path, "want one of the names of %s, not %s", ed.Name(), typeName(v))
	}
}

func checkScalar(f *findings, kind protoreflect.Kind, v any, path string) {
	switch kind {
	case protoreflect.StringKind:
		if _, ok := v.(string); !ok {
			f.add(finding{path: path, message: "want a string, not " + typeName(v), hint: quoteHint(v)})
		}
	case protoreflect.BoolKind:
		if _, ok := v.(bool); !ok {
			f.wrong(path, "want true or false, not %v", v)
		}
	case protoreflect.BytesKind:
		s, ok := v.(string)
		if _, err := base64.StdEncoding.DecodeString(s); !ok || err != nil {
			f.wrong(path, "want base64 text")
		}
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		if _, ok := number(v); !ok {
			f.wrong(path, "want a number, not %v", v)
		}
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		checkRange(f, v, 0, math.MaxUint32, path)
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		checkRange(f, v, math.MinInt32, math.MaxInt32, path)
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		checkRange(f, v, 0, math.MaxInt64, path)
	default:
		checkRange(f, v, math.MinInt64, math.MaxInt64, path)
	}
}

func quoteHint(v any) string {
	switch v.(type) {
	case int64, float64, bool:
		return fmt.Sprintf("write it in quotes: \"%v\"", v)
	}
	return ""
}

// number reads a JSON number or, as protobuf's JSON form allows, a quoted one.
func number(v any) (float64, bool) {
	switch x := v.(type) {
	case int64:
		return float64(x), true
	case float64:
		return x, true
	case string:
		n, err := strconv.ParseFloat(x, 64)
		return n, err == nil && !math.IsNaN(n) && !math.IsInf(n, 0)
	}
	return 0, false
}

func checkRange(f *findings, v any, low, high float64, path string) {
	n, ok := number(v)
	if !ok || n != math.Trunc(n) || n < low || n > high {
		f.wrong(path, "want a whole number from %.0f to %.0f, not %v", low, high, v)
	}
}
