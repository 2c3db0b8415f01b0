package message

import "google.golang.org/protobuf/types/known/wrapperspb"

// UInt32 wraps a number that may be absent.
func UInt32(n uint32) *wrapperspb.UInt32Value { return wrapperspb.UInt32(n) }

// UInt64 wraps a number that may be absent.
func UInt64(n uint64) *wrapperspb.UInt64Value { return wrapperspb.UInt64(n) }

// SetUInt32 wraps a number, or gives nil for zero.
func SetUInt32(n uint32) *wrapperspb.UInt32Value {
	if n == 0 {
		return nil
	}
	return wrapperspb.UInt32(n)
}

// True is a wrapped true.
func True() *wrapperspb.BoolValue { return wrapperspb.Bool(true) }

// False is a wrapped false.
func False() *wrapperspb.BoolValue { return wrapperspb.Bool(false) }
