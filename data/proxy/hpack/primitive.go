package hpack

// appendInteger appends n behind the pattern in the upper bits of its first byte, of which bits are the integer's (RFC 7541 section 5.1).
func appendInteger(dst []byte, pattern byte, bits uint, n uint32) []byte {
	full := uint32(1)<<bits - 1
	if n < full {
		return append(dst, pattern|byte(n))
	}
	dst = append(dst, pattern|byte(full))
	for n -= full; n >= 0x80; n >>= 7 {
		dst = append(dst, byte(n)|0x80)
	}
	return append(dst, byte(n))
}

// integer reads an integer of so many bits in the first byte; used is 0 when b ends inside it.
func integer(b []byte, bits uint) (n uint32, used int, err error) {
	if len(b) == 0 {
		return 0, 0, nil
	}
	full := uint32(1)<<bits - 1
	n = uint32(b[0]) & full
	if n < full {
		return n, 1, nil
	}
	for i := 1; i < len(b); i++ {
		c := uint32(b[i])
		if i > 4 || c&0x7f > (maxInteger-n)>>(7*(i-1)) {
			return 0, 0, ErrInteger
		}
		n += c & 0x7f << (7 * (i - 1))
		if c < 0x80 {
			return n, i + 1, nil
		}
	}
	return 0, 0, nil
}

// appendString appends a string literal in the shorter of the two codes (RFC 7541 section 5.2), or as it is.
func appendString(dst, s []byte, plain bool) []byte {
	if !plain {
		if n := encodedLen(s); n < len(s) {
			return appendHuffman(appendInteger(dst, 0x80, 7, uint32(n)), s)
		}
	}
	return append(appendInteger(dst, 0, 7, uint32(len(s))), s...)
}

// text is a string literal as it stands on the wire.
type text struct {
	bytes   []byte
	huffman bool
}

// literal finds a string literal; used is 0 when b ends inside it.
func literal(b []byte, limit int) (s text, used int, err error) {
	n, used, err := integer(b, 7)
	if err != nil || used == 0 {
		return s, 0, err
	}
	if int(n) > limit {
		return s, 0, ErrString
	}
	if len(b)-used < int(n) {
		return s, 0, nil
	}
	return text{b[used : used+int(n)], b[0]&0x80 != 0}, used + int(n), nil
}
