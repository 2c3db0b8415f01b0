package codec

import "bytes"

// StrangeHost says whether a host, wherever it stands in a request, has characters that would mean something else further on.
func StrangeHost(host []byte) bool {
	for _, c := range host {
		if c <= ' ' || c == 0x7f || c == '/' || c == '?' || c == '#' || c == '@' || c == '\\' || c == ',' {
			return true
		}
	}
	return false
}

// TunnelTarget says whether b can be the target of a CONNECT request: HOST:PORT (RFC 9112 section 3.2.3, RFC 9113 section 8.5). A percent sign is refused, because some
// decode it and some do not.
func TunnelTarget(b []byte) bool {
	i := bytes.LastIndexByte(b, ':')
	if i <= 0 || i == len(b)-1 || len(b)-i > 6 || StrangeHost(b) {
		return false
	}
	for at, c := range b {
		if c == '%' || c > '~' || at > i && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}
