package hpack

import "encoding/binary"

// lengths are the bits of the word for each byte (RFC 7541 appendix B); the word for the end of a string has 30.
var lengths = [256]uint8{
	13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
	6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
	13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
	15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
	20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
	22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
	26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
	20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
}

const (
	longest = 30
	// quick is the length up to which words are decoded with one look into a table. Longer ones belong to bytes that are rare in fields.
	quick = 10
)

// code is everything that follows from the lengths.
type code struct {
	words [256]uint32
	// fast has, for each beginning of quick bits, the byte << 5 | length of its word; 0 if the word is longer.
	fast [1 << quick]uint16
	// sorted are the bytes in the order of their words; first is the smallest word of a length and count the number of words.
	sorted [256]uint8
	first  [longest + 1]uint32
	count  [longest + 1]uint32
	at     [longest + 1]uint32 // in sorted
}

// huffman is computed once. In a canonical code the words of one length are consecutive numbers in the order of the bytes, and the first of the next length follows the
// last of this one.
var huffman = func() (c code) {
	word, n := uint32(0), uint32(0)
	for l := 1; l <= longest; l++ {
		word <<= 1
		c.first[l], c.at[l] = word, n
		for b := range lengths {
			if int(lengths[b]) != l {
				continue
			}
			c.words[b], c.sorted[n] = word, uint8(b)
			if l <= quick {
				from := word << (quick - l)
				for i := range uint32(1) << (quick - l) {
					c.fast[from+i] = uint16(b)<<5 | uint16(l)
				}
			}
			word, n = word+1, n+1
		}
		c.count[l] = n - c.at[l]
	}
	return c
}()

// encodedLen is the number of bytes of the code for s.
func encodedLen(s []byte) int {
	bits := 0
	for _, b := range s {
		bits += int(lengths[b])
	}
	return (bits + 7) / 8
}

// appendHuffman appends the code for s.
func appendHuffman(dst, s []byte) []byte {
	var acc uint64 // its lowest have bits are still to be written
	have := uint(0)
	for _, b := range s {
		n := uint(lengths[b])
		acc = acc<<n | uint64(huffman.words[b])
		if have += n; have >= 32 {
			have -= 32
			w := uint32(acc >> have)
			dst = append(dst, byte(w>>24), byte(w>>16), byte(w>>8), byte(w))
		}
	}
	for have >= 8 {
		have -= 8
		dst = append(dst, byte(acc>>have))
	}
	if have > 0 { // padding is the beginning of the word for the end
		dst = append(dst, byte(acc<<(8-have))|0xff>>have)
	}
	return dst
}

// appendDecoded appends what the code in s means, at most limit bytes.
func appendDecoded(dst, s []byte, limit int) ([]byte, error) {
	var acc uint64 // its highest have bits are still to be read
	have := uint(0)
	limit += len(dst)
	for len(s) >= 8 {
		acc |= binary.BigEndian.Uint64(s) >> have
		n := (63 - have) / 8
		s, have = s[n:], have+8*n
		for have >= longest {
			e := huffman.fast[acc>>(64-quick)]
			if e == 0 {
				if e = long(acc); e == 0 {
					return dst, ErrHuffman
				}
			}
			dst = append(dst, byte(e>>5))
			acc, have = acc<<(e&31), have-uint(e&31)
		}
		if len(dst) > limit {
			return dst, ErrString
		}
		acc &^= ^uint64(0) >> have // a part of the byte that is read again
	}
	for {
		for have <= 56 && len(s) > 0 {
			acc |= uint64(s[0]) << (56 - have)
			have, s = have+8, s[1:]
		}
		e := huffman.fast[acc>>(64-quick)]
		if e == 0 {
			e = long(acc)
		}
		if n := uint(e & 31); n == 0 || n > have {
			return dst, padding(acc, have)
		}
		if len(dst) >= limit {
			return dst, ErrString
		}
		dst = append(dst, byte(e>>5))
		acc, have = acc<<(e&31), have-uint(e&31)
	}
}

// long finds the word at the top of acc, in the form of fast; 0 for the word that ends a string.
func long(acc uint64) uint16 {
	for l := quick + 1; l <= longest; l++ {
		if w := uint32(acc>>(64-l)) - huffman.first[l]; w < huffman.count[l] {
			return uint16(huffman.sorted[huffman.at[l]+w])<<5 | uint16(l)
		}
	}
	return 0
}

// padding checks the bits behind the last word: fewer than eight, all set (RFC 7541 section 5.2).
func padding(acc uint64, have uint) error {
	if have >= 8 || acc != ^(^uint64(0)>>have) {
		return ErrHuffman
	}
	return nil
}
