package http1

import "strconv"

// AppendRequestLine appends "METHOD TARGET HTTP/1.1".
func AppendRequestLine[T ~string | ~[]byte](dst []byte, method []byte, target T) []byte {
	dst = append(dst, method...)
	dst = append(dst, ' ')
	dst = append(dst, target...)
	return append(dst, " HTTP/1.1\r\n"...)
}

// AppendStatusLine appends "HTTP/1.1 CODE REASON" with the standard reason, as Envoy does.
func AppendStatusLine(dst []byte, status int) []byte {
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(status), 10)
	dst = append(dst, ' ')
	dst = append(dst, Reason(status)...)
	return append(dst, '\r', '\n')
}

// AppendField appends a field with its name in lower case. Bytes that could end the line are left out, wherever they came from.
func AppendField[N, V ~string | ~[]byte](dst []byte, name N, value V) []byte {
	for i := range len(name) {
		if c := name[i]; tokenTable[c] {
			dst = append(dst, lowerTable[c])
		}
	}
	dst = append(dst, ':', ' ')
	from := len(dst)
	dst = append(dst, value...)
	for i := from; i < len(dst); i++ {
		if c := dst[i]; !valueTable[c] {
			return cleanValue(dst, from)
		}
	}
	return append(dst, '\r', '\n')
}

// cleanValue takes out of dst[from:] what is not allowed in a value.
func cleanValue(dst []byte, from int) []byte {
	to := from
	for _, c := range dst[from:] {
		if valueTable[c] {
			dst[to] = c
			to++
		}
	}
	return append(dst[:to], '\r', '\n')
}

// AppendNumber appends a field with a decimal value.
func AppendNumber(dst []byte, name string, n int64) []byte {
	dst = append(dst, name...)
	dst = append(dst, ':', ' ')
	dst = strconv.AppendInt(dst, n, 10)
	return append(dst, '\r', '\n')
}

// AppendHeadEnd appends the empty line.
func AppendHeadEnd(dst []byte) []byte { return append(dst, '\r', '\n') }

// AppendChunk appends one chunk; an empty one is left out, because it would end the body.
func AppendChunk(dst, p []byte) []byte {
	if len(p) == 0 {
		return dst
	}
	dst = strconv.AppendInt(dst, int64(len(p)), 16)
	dst = append(dst, '\r', '\n')
	dst = append(dst, p...)
	return append(dst, '\r', '\n')
}

// AppendLastChunk ends a chunked body, with trailers.
func AppendLastChunk(dst []byte, trailers []Field) []byte {
	dst = append(dst, '0', '\r', '\n')
	for i := range trailers {
		dst = AppendField(dst, trailers[i].Name, trailers[i].Value)
	}
	return append(dst, '\r', '\n')
}
