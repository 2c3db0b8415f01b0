package message

import (
	"fmt"
	"maps"
	"math"
	"slices"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/structpb"
)

// The numbers of the fields of google.protobuf.Struct, Value and ListValue.
const (
	structFields protowire.Number = 1
	entryKey     protowire.Number = 1
	entryValue   protowire.Number = 2
	valueNumber  protowire.Number = 2
	valueText    protowire.Number = 3
	valueStruct  protowire.Number = 5
	valueList    protowire.Number = 6
	listValues   protowire.Number = 1

	filterMetadata protowire.Number = 1 // of Metadata
)

// IstioKey is the key of what Istio says in filter metadata.
const IstioKey = "istio"

// DeniedKey is the key of filter metadata under which a cluster says why nothing may be sent to it (the field reason).
const DeniedKey = "heddle.dev/denied"

// NamesKey is the key of filter metadata under which a cluster says which hosts clients may name (the field host), and to what of the proxy's own host they may lead (allow).
const NamesKey = "heddle.dev/names"

// Fields are metadata of plain values: texts, numbers (float64), Fields, and lists ([]any) of them.
type Fields map[string]any

// Struct makes metadata, frozen. It panics on a value of another type.
func Struct(f Fields) *structpb.Struct { return Raw[structpb.Struct](AppendFields(nil, f)) }

// Metadata is filter metadata under Istio's key, frozen.
func Metadata(f Fields) *corev3.Metadata { return MetadataOf(map[string]Fields{IstioKey: f}) }

// MetadataOf is filter metadata under several keys, frozen.
func MetadataOf(by map[string]Fields) *corev3.Metadata {
	var b []byte
	for _, key := range slices.Sorted(maps.Keys(by)) {
		b = AppendMetadata(b, key, by[key])
	}
	return Raw[corev3.Metadata](b)
}

// AppendMetadata appends one key of a Metadata.
func AppendMetadata(b []byte, key string, f Fields) []byte {
	b, entry, at := BeginMetadata(b, key)
	return EndMetadata(AppendFields(b, f), entry, at)
}

// BeginMetadata starts one key of a Metadata; what is appended up to EndMetadata are the fields of its Struct.
func BeginMetadata(b []byte, key string) (out []byte, entry, at int) {
	b, entry = Begin(b, filterMetadata)
	b, at = Begin(AppendText(b, entryKey, key), entryValue)
	return b, entry, at
}

// EndMetadata closes what BeginMetadata started.
func EndMetadata(b []byte, entry, at int) []byte { return End(End(b, at), entry) }

// AppendFields appends the fields of a Struct, ordered by key.
func AppendFields(b []byte, f Fields) []byte {
	for _, key := range slices.Sorted(maps.Keys(f)) {
		var field, at int
		b, field, at = beginField(b, key)
		b = End(End(appendValue(b, f[key]), at), field)
	}
	return b
}

func appendValue(b []byte, v any) []byte {
	switch v := v.(type) {
	case string:
		return protowire.AppendString(protowire.AppendTag(b, valueText, protowire.BytesType), v)
	case float64:
		return protowire.AppendFixed64(protowire.AppendTag(b, valueNumber, protowire.Fixed64Type), math.Float64bits(v))
	case Fields:
		b, at := Begin(b, valueStruct)
		return End(AppendFields(b, v), at)
	case []any:
		b, at := Begin(b, valueList)
		for _, x := range v {
			var item int
			b, item = Begin(b, listValues)
			b = End(appendValue(b, x), item)
		}
		return End(b, at)
	}
	panic(fmt.Sprintf("message: build metadata: %T is none of its types", v))
}

func beginField(b []byte, key string) (out []byte, field, value int) {
	b, field = Begin(b, structFields)
	b, value = Begin(AppendText(b, entryKey, key), entryValue)
	return b, field, value
}

// AppendTextField appends a field of a Struct that is a text.
func AppendTextField(b []byte, key, text string) []byte {
	b, field, at := beginField(b, key)
	return End(End(protowire.AppendString(protowire.AppendTag(b, valueText, protowire.BytesType), text), at), field)
}

// AppendNumberField appends a field of a Struct that is a number.
func AppendNumberField(b []byte, key string, n float64) []byte {
	b, field, at := beginField(b, key)
	return End(End(protowire.AppendFixed64(protowire.AppendTag(b, valueNumber, protowire.Fixed64Type), math.Float64bits(n)), at), field)
}

// AppendListField appends a field of a Struct that is a list of n Structs; item appends the fields of one.
func AppendListField(b []byte, key string, n int, item func(b []byte, i int) []byte) []byte {
	b, field, at := beginField(b, key)
	b, list := Begin(b, valueList)
	for i := range n {
		var value, of int
		b, value = Begin(b, listValues)
		b, of = Begin(b, valueStruct)
		b = End(End(item(b, i), of), value)
	}
	return End(End(End(b, list), at), field)
}
