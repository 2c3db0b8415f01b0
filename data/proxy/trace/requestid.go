package trace

// IDSize is the length of a request id.
const IDSize = 36

// PutID writes a request id, a UUID of 128 random bits (RFC 9562, version 4), as Envoy's x-request-id. Its version says that the request is not traced: see Decide.
func PutID(b *[IDSize]byte, high, low uint64) {
	const hex = "0123456789abcdef"
	high = high&^0xf000 | 0x4000
	low = low&^(0xc<<60) | 0x8<<60
	at := 0
	for i := range 32 {
		switch i {
		case 8, 12, 16, 20:
			b[at] = '-'
			at++
		}
		word := high
		if i >= 16 {
			word = low
		}
		b[at] = hex[word>>(60-4*(i%16))&15]
		at++
	}
}
