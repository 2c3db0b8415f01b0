package proxyprotocol

import (
	"encoding/binary"
	"iter"
	"math"

	"github.com/heddle-mesh/heddle/data/proxy/config"
)

// each goes through a list of extensions that Parse has judged: type, and all of it.
func each(list []byte) iter.Seq2[uint8, []byte] {
	return func(yield func(uint8, []byte) bool) {
		for len(list) >= tlvStart {
			n := tlvStart + int(binary.BigEndian.Uint16(list[1:]))
			if n > len(list) || !yield(list[0], list[:n]) {
				return
			}
			list = list[n:]
		}
	}
}

// has says whether a type is among some.
func has(t *config.TLVTypes, kind uint8) bool { return t != nil && (t.All || t.Some[kind]) }

// Select adds those of a list of extensions that are of some types.
func Select(b, list []byte, types *config.TLVTypes) []byte {
	for kind, all := range each(list) {
		if has(types, kind) {
			b = append(b, all...)
		}
	}
	return b
}

// Extend adds the extensions of a header that goes on: those that are always added, then those of the client that may pass, as far as there is room. An added one takes the
// place of the client's of its type.
func Extend(b, list []byte, c *config.ProxyTLVs) []byte {
	if c == nil {
		return b
	}
	start := len(b)
	var added [math.MaxUint8 + 1]bool
	for _, t := range c.Added {
		b = append(binary.BigEndian.AppendUint16(append(b, t.Type), uint16(len(t.Value))), t.Value...)
		added[t.Type] = true
	}
	for kind, all := range each(list) {
		if !added[kind] && has(c.Pass, kind) && len(b)-start+len(all) <= config.MaxTLVs {
			b = append(b, all...)
		}
	}
	return b
}
