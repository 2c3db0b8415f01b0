package codec

import "bytes"

// hostTable holds what a registered name, an address or a port is made of (RFC 3986 section 3.2.2): letters, digits, marks and percent signs. Commas are left out, because
// lists of hosts are made with them; brackets and colons are looked at by themselves.
var hostTable = func() (t [256]bool) {
	for c := byte('a'); c <= 'z'; c++ {
		t[c], t[c-'a'+'A'] = true, true
	}
	for c := byte('0'); c <= '9'; c++ {
		t[c] = true
	}
	for _, c := range []byte("-._~!$&'()*+;=%") {
		t[c] = true
	}
	return t
}()

// StrangeHost says whether a host, wherever it stands in a request, is anything but NAME, ADDRESS or [ADDRESS], with or without a port: something that others may read as
// another host. An empty one is not strange.
func StrangeHost(host []byte) bool {
	if len(host) > 0 && host[0] == '[' {
		end := bytes.IndexByte(host, ']')
		if end < 0 {
			return true
		}
		for _, c := range host[1:end] {
			if !hostTable[c] && c != ':' {
				return true
			}
		}
		return len(host) > end+1 && (host[end+1] != ':' || !digits(host[end+2:]))
	}
	for i, c := range host {
		if c == ':' {
			return i == 0 || !digits(host[i+1:])
		}
		if !hostTable[c] {
			return true
		}
	}
	return false
}

func digits(b []byte) bool {
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// TunnelTarget says whether b can be the target of a CONNECT request: HOST:PORT (RFC 9112 section 3.2.3, RFC 9113 section 8.5). A percent sign is refused, because some
// decode it and some do not.
func TunnelTarget(b []byte) bool {
	i := bytes.LastIndexByte(b, ':')
	return i > 0 && i < len(b)-1 && len(b)-i <= 6 && bytes.IndexByte(b, '%') < 0 && digits(b[i+1:]) && !StrangeHost(b)
}
