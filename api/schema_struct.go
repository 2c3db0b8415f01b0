package api

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strings"
	"sync"
)

var (
	unmarshaler = reflect.TypeFor[json.Unmarshaler]()
	structNames sync.Map // reflect.Type → map[string]reflect.Type: fields by JSON name, embedded ones included
)

// checkStruct compares a document with a Go type, by the names in its json tags.
func checkStruct(f *findings, t reflect.Type, v any, path string) {
	for t.Kind() == reflect.Pointer {
		if v == nil {
			return
		}
		t = t.Elem()
	}
	if reflect.PointerTo(t).Implements(unmarshaler) || t.Kind() == reflect.Interface {
		checkOwn(f, t, v, path)
		return
	}
	switch t.Kind() {
	case reflect.Struct:
		m, ok := v.(map[string]any)
		if !ok {
			f.wrong(path, "want an object, not %s", typeName(v))
			return
		}
		fields := fieldsOf(t)
		for _, k := range sortedKeys(m) {
			if ft, ok := fields[k]; !ok {
				f.unknown(join(path, k), k, nameList(fields))
			} else if m[k] != nil {
				checkStruct(f, ft, m[k], join(path, k))
			}
		}
	case reflect.Slice:
		checkList(f, t, v, path)
	case reflect.Map:
		m, ok := v.(map[string]any)
		if !ok {
			f.wrong(path, "want an object of key and value, not %s", typeName(v))
			return
		}
		for _, k := range sortedKeys(m) {
			checkStruct(f, t.Elem(), m[k], keyed(path, k))
		}
	default:
		checkBasic(f, t, v, path)
	}
}

func checkList(f *findings, t reflect.Type, v any, path string) {
	if t.Elem().Kind() == reflect.Uint8 { // []byte is base64 text; the decoder says when it is not
		if _, ok := v.(string); !ok && v != nil {
			f.wrong(path, "want base64 text, not %s", typeName(v))
		}
		return
	}
	list, ok := v.([]any)
	if !ok {
		f.wrong(path, "want a list, not %s", typeName(v))
		return
	}
	for i, e := range list {
		checkStruct(f, t.Elem(), e, fmt.Sprintf("%s[%d]", path, i))
	}
}

// checkOwn asks a type that reads JSON its own way (quantities, times, int-or-string).
func checkOwn(f *findings, t reflect.Type, v any, path string) {
	data, err := json.Marshal(v)
	if err == nil && v != nil {
		err = json.Unmarshal(data, reflect.New(t).Interface())
	}
	if err != nil {
		f.wrong(path, "%s is not understood here: %v", string(data), err)
	}
}

func checkBasic(f *findings, t reflect.Type, v any, path string) {
	switch t.Kind() {
	case reflect.String:
		if _, ok := v.(string); !ok {
			f.add(finding{path: path, message: "want a string, not " + typeName(v), hint: quoteHint(v)})
		}
	case reflect.Bool:
		if _, ok := v.(bool); !ok {
			f.wrong(path, "want true or false, not %v", v)
		}
	case reflect.Float32, reflect.Float64:
		if _, ok := v.(string); ok {
			f.wrong(path, "want a number, not a string")
		} else if _, ok := number(v); !ok {
			f.wrong(path, "want a number, not %v", v)
		}
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Int:
		bits := min(t.Bits(), 63)
		if t.Bits() < 64 {
			bits = t.Bits() - 1
		}
		checkInt(f, v, -math.Pow(2, float64(bits)), math.Pow(2, float64(bits))-1, path)
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uint:
		checkInt(f, v, 0, math.Pow(2, float64(min(t.Bits(), 63)))-1, path)
	}
}

func checkInt(f *findings, v any, low, high float64, path string) {
	if _, quoted := v.(string); quoted {
		f.wrong(path, "want a number, not a string")
		return
	}
	checkRange(f, v, low, high, path)
}

func fieldsOf(t reflect.Type) map[string]reflect.Type {
	if m, ok := structNames.Load(t); ok {
		return m.(map[string]reflect.Type)
	}
	m := map[string]reflect.Type{}
	for i := range t.NumField() {
		sf := t.Field(i)
		name, _, _ := strings.Cut(sf.Tag.Get("json"), ",")
		switch {
		case name == "-" || !sf.IsExported():
		case sf.Anonymous && name == "":
			et := sf.Type
			if et.Kind() == reflect.Pointer {
				et = et.Elem()
			}
			for k, v := range fieldsOf(et) {
				m[k] = v
			}
		case name == "":
			m[sf.Name] = sf.Type
		default:
			m[name] = sf.Type
		}
	}
	structNames.Store(t, m)
	return m
}

func nameList(fields map[string]reflect.Type) []string {
	m := make(map[string]any, len(fields))
	for k := range fields {
		m[k] = nil
	}
	return sortedKeys(m)
}
