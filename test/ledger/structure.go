package ledger

import (
	"encoding/json"
	"reflect"
	"strings"
)

var unmarshaler = reflect.TypeFor[json.Unmarshaler]()

// structure lists the leaves of a Go type by the names in its json tags.
func structure(subject, path string, t reflect.Type, depth int) (out []Row) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if leaf(t) || depth > deepest {
		return []Row{{Subject: subject, Path: path}}
	}
	switch t.Kind() {
	case reflect.Slice:
		return structure(subject, path+"[]", t.Elem(), depth)
	case reflect.Map:
		return structure(subject, path+"{}", t.Elem(), depth)
	}
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && (name == "" || strings.Contains(options, "inline")):
			out = append(out, structure(subject, path, f.Type, depth+1)...)
		case name != "" && name != "-":
			out = append(out, structure(subject, join(path, name), f.Type, depth+1)...)
		}
	}
	return out
}

// leaf says whether a type is written as one value.
func leaf(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Struct:
		return reflect.PointerTo(t).Implements(unmarshaler) || t.NumField() == 0
	case reflect.Slice:
		return t.Elem().Kind() == reflect.Uint8
	case reflect.Map:
		return false
	}
	return true
}
