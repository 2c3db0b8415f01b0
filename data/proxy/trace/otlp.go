package trace

import (
	"bytes"
	"encoding/binary"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// The field numbers of opentelemetry.proto (trace/v1, resource/v1 and common/v1) that are written. An ExportTraceServiceRequest is a list of ResourceSpans.
const (
	exportResourceSpans                                                                          = 1
	resourceSpansResource, resourceSpansScopeSpans                                               = 1, 2
	resourceAttributes                                                                           = 1
	scopeSpansScope, scopeSpansSpans                                                             = 1, 2
	scopeName, scopeVersion                                                                      = 1, 2
	keyValueKey, keyValueValue, anyValueString                                                   = 1, 2, 1
	spanTraceID, spanID, spanState, spanParent, spanName, spanKind, spanStart, spanEnd, spanTags = 1, 2, 3, 4, 5, 6, 7, 8, 9
	spanStatus, spanFlags, statusCode, statusError                                               = 15, 16, 3, 2
	flagSampled, flagKnowsRemote, flagRemote                                                     = 1, 0x100, 0x200
)

// appendOTLP adds a span as an element of ScopeSpans.
func appendOTLP(b []byte, s *Span) []byte {
	return appendMessage(b, scopeSpansSpans, func(b []byte) []byte {
		b = protowire.AppendTag(b, spanTraceID, protowire.BytesType)
		b = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(protowire.AppendVarint(b, 16), s.High), s.Low)
		b = appendID(b, spanID, s.Span)
		if s.State != "" {
			b = appendText(b, spanState, []byte(s.State))
		}
		if s.Parent != 0 {
			b = appendID(b, spanParent, s.Parent)
		}
		b = appendText(b, spanName, []byte(s.Name))
		b = protowire.AppendVarint(protowire.AppendTag(b, spanKind, protowire.VarintType), uint64(s.Kind))
		b = protowire.AppendFixed64(protowire.AppendTag(b, spanStart, protowire.Fixed64Type), uint64(s.Start.UnixNano()))
		b = protowire.AppendFixed64(protowire.AppendTag(b, spanEnd, protowire.Fixed64Type), uint64(s.End.UnixNano()))
		for _, t := range s.tags {
			b = appendAttribute(b, spanTags, t.key, s.value(t))
		}
		if s.Failed {
			b = appendMessage(b, spanStatus, func(b []byte) []byte {
				return protowire.AppendVarint(protowire.AppendTag(b, statusCode, protowire.VarintType), statusError)
			})
		}
		flags := uint32(flagSampled | flagKnowsRemote)
		if s.Remote {
			flags |= flagRemote
		}
		return protowire.AppendFixed32(protowire.AppendTag(b, spanFlags, protowire.Fixed32Type), flags)
	})
}

// wrapOTLP puts spans into a request.
func wrapOTLP(b, spans []byte, resource [][2]string, version string) []byte {
	return appendMessage(b, exportResourceSpans, func(b []byte) []byte {
		b = appendMessage(b, resourceSpansResource, func(b []byte) []byte {
			for _, a := range resource {
				b = appendAttribute(b, resourceAttributes, a[0], []byte(a[1]))
			}
			return b
		})
		return appendMessage(b, resourceSpansScopeSpans, func(b []byte) []byte {
			b = appendMessage(b, scopeSpansScope, func(b []byte) []byte {
				return appendString(appendString(b, scopeName, "heddle"), scopeVersion, version)
			})
			return append(b, spans...)
		})
	})
}

func appendAttribute(b []byte, field protowire.Number, key string, value []byte) []byte {
	return appendMessage(b, field, func(b []byte) []byte {
		b = appendString(b, keyValueKey, key)
		return appendMessage(b, keyValueValue, func(b []byte) []byte {
			return appendText(b, anyValueString, value)
		})
	})
}

// appendText writes a string that came from outside. A receiver would refuse all spans of a message for one that is no UTF-8.
func appendText(b []byte, field protowire.Number, v []byte) []byte {
	if !utf8.Valid(v) {
		v = bytes.ToValidUTF8(v, []byte("\ufffd"))
	}
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), v)
}

func appendString(b []byte, field protowire.Number, v string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), v)
}

func appendID(b []byte, field protowire.Number, id uint64) []byte {
	return binary.BigEndian.AppendUint64(protowire.AppendVarint(protowire.AppendTag(b, field, protowire.BytesType), 8), id)
}

// appendMessage adds a message whose length is known when it is there.
func appendMessage(b []byte, field protowire.Number, fill func([]byte) []byte) []byte {
	b = protowire.AppendTag(b, field, protowire.BytesType)
	at := len(b)
	b = fill(b)
	n := len(b) - at
	var size [binary.MaxVarintLen64]byte
	head := protowire.AppendVarint(size[:0], uint64(n))
	b = append(b, head...)
	copy(b[at+len(head):], b[at:at+n])
	copy(b[at:], head)
	return b
}
