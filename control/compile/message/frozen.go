package message

import (
	"google.golang.org/protobuf/proto"
)

// pointer is a message by its type.
type pointer[T any] interface {
	*T
	proto.Message
}

// Raw is a message that encodes to the given bytes, which must be a valid encoding of its type and must not change afterwards. Nothing can be read from it: it holds the
// bytes as fields that it does not know, so that it is encoded by a copy. It may be put into any number of messages. Thawed makes a readable one.
func Raw[T any, M pointer[T]](b []byte) M {
	m := M(new(T))
	m.ProtoReflect().SetUnknown(b)
	return m
}

// Frozen is a Raw message of what m holds, for what is put into many others.
func Frozen[T any, M pointer[T]](m M) M { return Raw[T, M](mustBytes(m)) }

// Thawed is a copy of a message in which everything can be read and changed, also what was frozen.
func Thawed[M proto.Message](m M) M {
	out := m.ProtoReflect().New().Interface()
	if err := proto.Unmarshal(mustBytes(m), out); err != nil {
		panic("message: read " + string(m.ProtoReflect().Descriptor().FullName()) + " again: " + err.Error())
	}
	return out.(M)
}

// Append adds fields to a message in their encoded form, behind those that it has.
func Append(m proto.Message, fields []byte) {
	r := m.ProtoReflect()
	if have := r.GetUnknown(); len(have) > 0 {
		fields = append(have[:len(have):len(have)], fields...)
	}
	r.SetUnknown(fields)
}

// Extend is Append of what more appends, put together in room, which is of nobody else then.
func Extend(m proto.Message, room []byte, more func([]byte) []byte) {
	r := m.ProtoReflect()
	r.SetUnknown(more(append(room, r.GetUnknown()...)))
}

func mustBytes(m proto.Message) []byte {
	b, err := Bytes(m)
	if err != nil { // a string that is not UTF-8, which the parsers of mesh do not let through
		panic("message: pack " + string(m.ProtoReflect().Descriptor().FullName()) + ": " + err.Error())
	}
	return b
}
