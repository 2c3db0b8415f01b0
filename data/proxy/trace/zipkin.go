package trace

import (
	"strconv"
	"unicode/utf8"
)

// appendZipkin adds a span as an element of Zipkin's list (v2, JSON).
func appendZipkin(b []byte, s *Span, service, ip string) []byte {
	text := func(key, v string) {
		b = append(append(append(b, '"'), key...), `":`...)
		b = append(appendQuoted(b, []byte(v)), ',')
	}
	b = append(b, `{"id":"`...)
	b = append(appendHex(b, 0, s.Span), `",`...)
	if s.Parent != 0 {
		b = append(appendHex(append(b, `"parentId":"`...), 0, s.Parent), `",`...)
	}
	b = append(appendHex(append(b, `"traceId":"`...), s.High, s.Low), `",`...)
	text("name", s.Name)
	text("kind", map[Kind]string{Server: "SERVER", Client: "CLIENT"}[s.Kind])
	b = append(strconv.AppendInt(append(b, `"timestamp":`...), s.Start.UnixMicro(), 10), ',')
	b = append(strconv.AppendInt(append(b, `"duration":`...), max(s.End.Sub(s.Start).Microseconds(), 1), 10), ',')
	if s.Shared {
		b = append(b, `"shared":true,`...)
	}
	b = appendQuoted(append(b, `"localEndpoint":{"serviceName":`...), []byte(service))
	if ip != "" {
		b = appendQuoted(append(b, `,"ipv4":`...), []byte(ip))
	}
	b = append(b, `},"tags":{`...)
	for i, t := range s.tags {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendQuoted(b, []byte(t.key)), ':')
		b = appendQuoted(b, s.value(t))
	}
	return append(b, "}}"...)
}

// appendQuoted writes a JSON string; bytes that are no UTF-8 become U+FFFD.
func appendQuoted(b, v []byte) []byte {
	const digits = "0123456789abcdef"
	b = append(b, '"')
	for len(v) > 0 {
		r, n := utf8.DecodeRune(v)
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r < ' ' || r == 0x7f:
			b = append(b, '\\', 'u', '0', '0', digits[r>>4], digits[r&15])
		default:
			b = utf8.AppendRune(b, r)
		}
		v = v[n:]
	}
	return append(b, '"')
}
