package accesslog

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// DefaultText is Istio's default format.
const DefaultText = "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% " +
	"\"%UPSTREAM_TRANSPORT_FAILURE_REASON%\" %BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" " +
	"\"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% " +
	"%REQUESTED_SERVER_NAME% %ROUTE_NAME%\n"

// EnvoyText is Envoy's own default, used when a file log has no format.
const EnvoyText = "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" %RESPONSE_CODE% %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %DURATION% " +
	"%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" \"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\"\n"

// Format is a compiled format. It is immutable and safe for concurrent use.
type Format struct {
	parts  []part
	absent string // stands for a value that is not there
	root   *node  // of a JSON format
}

// part is a literal, or an operator when its write is set.
type part struct {
	literal string
	operator
}

// absence stands for what is not there.
const absence = "-"

// Text compiles a text format. The line ends where the format says; Envoy's formats end in a newline of their own. Absent values are written as "-", or with
// omitEmpty not at all.
func Text(format string, omitEmpty bool) (*Format, error) {
	parts, err := parseParts(format)
	if err != nil {
		return nil, fmt.Errorf("access log format: %w", err)
	}
	f := &Format{parts: parts, absent: absence}
	if omitEmpty {
		f.absent = ""
	}
	return f, nil
}

func parseParts(format string) (parts []part, err error) {
	for format != "" {
		open := strings.IndexByte(format, '%')
		if open < 0 {
			return append(parts, part{literal: format}), nil
		}
		if open > 0 {
			parts = append(parts, part{literal: format[:open]})
		}
		format = format[open+1:]
		if strings.HasPrefix(format, "%") { // %% is a percent sign
			parts, format = append(parts, part{literal: "%"}), format[1:]
			continue
		}
		end := closing(format)
		if end < 0 {
			return nil, fmt.Errorf("a %% is not closed before %q", cut(format, 20))
		}
		op, err := parseOperator(format[:end])
		if err != nil {
			return nil, err
		}
		parts, format = append(parts, part{operator: op}), format[end+1:]
	}
	return parts, nil
}

// closing finds the percent sign that ends an operator; those inside brackets belong to its argument.
func closing(s string) int {
	depth := 0
	for i := range len(s) {
		switch s[i] {
		case '(':
			depth++
		case ')':
			depth--
		case '%':
			if depth <= 0 {
				return i
			}
		}
	}
	return -1
}

func cut(s string, n int) string { return s[:min(n, len(s))] }

// Append formats one record.
func (f *Format) Append(b []byte, r *Record) []byte {
	if f.root != nil {
		b, _ = f.root.append(b, r)
		return append(b, '\n')
	}
	return appendParts(b, f.parts, r, f.absent)
}

func appendParts(b []byte, parts []part, r *Record, absent string) []byte {
	for i := range parts {
		p := &parts[i]
		if p.write == nil {
			b = append(b, p.literal...)
			continue
		}
		var ok bool
		if b, ok = p.appendValue(b, r); !ok {
			b = append(b, absent...)
		}
	}
	return b
}

func (o *operator) appendValue(b []byte, r *Record) ([]byte, bool) {
	start := len(b)
	b, ok := o.write(b, r)
	if !ok {
		return b[:start], false
	}
	if o.limit > 0 && len(b)-start > o.limit && r.Raw {
		b = b[:start+o.limit]
	} else if o.limit > 0 && len(b)-start > o.limit {
		b = b[:start+cutEscaped(b[start:], o.limit)]
	}
	return b, true
}

// cutEscaped is how much of an escaped value stands for its first limit bytes; neither an escape nor a rune is cut.
func cutEscaped(b []byte, limit int) int {
	for i := 0; i < len(b); {
		size, bytes := 1, 1
		switch {
		case b[i] == '\\' && i+1 < len(b) && b[i+1] == 'x':
			size = 4
		case b[i] == '\\':
			size = 2
		case b[i] >= utf8.RuneSelf:
			_, size = utf8.DecodeRune(b[i:])
			bytes = size
		}
		if limit -= bytes; limit < 0 {
			return i
		}
		i = min(i+size, len(b))
	}
	return len(b)
}

const hexDigits = "0123456789abcdef"

// appendValue appends a value as its record asks: for a line, or for a header field, which has no quotes to stay in, but must not get a line end either.
func appendValue[S string | []byte](b []byte, r *Record, s S) []byte {
	if !r.Raw {
		return appendText(b, s)
	}
	for i := range len(s) {
		if c := s[i]; c >= ' ' && c != 0x7f || c == '\t' {
			b = append(b, c)
		}
	}
	return b
}

// appendText appends a value so that it stays inside its quotes and its line: quotes, backslashes and control characters are escaped, broken UTF-8 as well.
func appendText[S string | []byte](b []byte, s S) []byte {
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c >= ' ' && c < 0x7f:
			b = append(b, c)
		case c >= 0x80:
			if n := runeLength(s[i:]); n > 1 {
				b = append(b, s[i:i+n]...)
				i += n - 1
				continue
			}
			fallthrough
		default:
			b = append(b, '\\', 'x', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return b
}

// runeLength is the length of the first complete, printable rune, or 0. C1 controls (U+0080 to U+009F) and line separators are not printable.
func runeLength[S string | []byte](s S) int {
	var buf [utf8.UTFMax]byte
	r, n := utf8.DecodeRune(buf[:copy(buf[:], s[:min(len(s), utf8.UTFMax)])])
	if r == utf8.RuneError || r < 0xa0 || r == 0x2028 || r == 0x2029 {
		return 0
	}
	return n
}
