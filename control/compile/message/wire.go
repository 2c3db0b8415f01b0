package message

import (
	"google.golang.org/protobuf/encoding/protowire"
)

// Begin starts a message that is a field of the one that b is the bytes of; what is appended up to End is its bytes. at is for End.
func Begin(b []byte, field protowire.Number) (out []byte, at int) {
	b = append(protowire.AppendTag(b, field, protowire.BytesType), 0)
	return b, len(b)
}

// End closes what Begin started. One byte was kept for the length; a longer length moves the message.
func End(b []byte, at int) []byte {
	n := len(b) - at
	if n < 1<<7 {
		b[at-1] = byte(n)
		return b
	}
	more := protowire.SizeVarint(uint64(n)) - 1
	b = append(b, make([]byte, more)...)
	copy(b[at+more:], b[at:at+n])
	protowire.AppendVarint(b[:at-1], uint64(n))
	return b
}

// AppendText appends a field of text; nothing for none, as proto3 does.
func AppendText(b []byte, field protowire.Number, s string) []byte {
	if s == "" {
		return b
	}
	return protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), s)
}

// AppendNumber appends a field of a number; nothing for 0, as proto3 does.
func AppendNumber(b []byte, field protowire.Number, n uint64) []byte {
	if n == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), n)
}

// AppendUInt32 appends a field that is a wrapped number, which is there even where it is 0.
func AppendUInt32(b []byte, field protowire.Number, n uint32) []byte {
	b, at := Begin(b, field)
	return End(AppendNumber(b, 1, uint64(n)), at)
}
