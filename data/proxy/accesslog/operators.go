package accesslog

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// operator appends a value; ok is false when there is none.
type operator struct {
	write  func(b []byte, r *Record) (out []byte, ok bool)
	number bool // a JSON number
	limit  int  // 0 for none
}

// defaultTime is Envoy's form of %START_TIME%.
const defaultTime = "2006-01-02T15:04:05.000Z"

func text(get func(*Record) string) operator {
	return operator{write: func(b []byte, r *Record) ([]byte, bool) {
		s := get(r)
		return appendValue(b, r, s), s != ""
	}}
}

func number(get func(*Record) int64) operator {
	return operator{number: true, write: func(b []byte, r *Record) ([]byte, bool) {
		n := get(r)
		if n < 0 {
			return b, false
		}
		return strconv.AppendInt(b, n, 10), true
	}}
}

func address(get func(*Record) Address) operator {
	return operator{write: func(b []byte, r *Record) ([]byte, bool) { return get(r).append(b) }}
}

func ip(get func(*Record) Address) operator {
	return operator{write: func(b []byte, r *Record) ([]byte, bool) { return get(r).appendIP(b) }}
}

func port(get func(*Record) Address) operator {
	return number(func(r *Record) int64 {
		if a := get(r); a.IsValid() {
			return int64(a.Port())
		}
		return -1
	})
}

// plain are the operators without an argument (Envoy, "Access log command operators").
func plainTable() map[string]operator {
	hostname, _ := os.Hostname()
	local, remote, direct := func(r *Record) Address { return r.Local }, func(r *Record) Address { return r.Remote }, func(r *Record) Address { return r.DirectRemote }
	return map[string]operator{
		"PROTOCOL":                                      text(func(r *Record) string { return r.Protocol }),
		"RESPONSE_CODE":                                 number(func(r *Record) int64 { return int64(r.Code) }),
		"RESPONSE_FLAGS":                                text(func(r *Record) string { return dash(r.Flags) }),
		"RESPONSE_CODE_DETAILS":                         text(func(r *Record) string { return r.Details }),
		"CONNECTION_TERMINATION_DETAILS":                text(func(r *Record) string { return r.Termination }),
		"UPSTREAM_TRANSPORT_FAILURE_REASON":             text(func(r *Record) string { return r.UpstreamFailure }),
		"BYTES_RECEIVED":                                number(func(r *Record) int64 { return int64(r.Received) }),
		"BYTES_SENT":                                    number(func(r *Record) int64 { return int64(r.Sent) }),
		"DOWNSTREAM_WIRE_BYTES_RECEIVED":                number(func(r *Record) int64 { return int64(r.ReceivedWire) }),
		"DOWNSTREAM_WIRE_BYTES_SENT":                    number(func(r *Record) int64 { return int64(r.SentWire) }),
		"DURATION":                                      number(func(r *Record) int64 { return r.Duration.Milliseconds() }),
		"REQUEST_DURATION":                              number(func(r *Record) int64 { return milliseconds(r.RequestDuration) }),
		"RESPONSE_DURATION":                             number(func(r *Record) int64 { return milliseconds(r.ResponseDuration) }),
		"RESPONSE_TX_DURATION":                          number(txDuration),
		"UPSTREAM_REQUEST_ATTEMPT_COUNT":                number(func(r *Record) int64 { return int64(r.Attempts) }),
		"UPSTREAM_HOST":                                 address(func(r *Record) Address { return r.UpstreamHost }),
		"UPSTREAM_REMOTE_ADDRESS":                       address(func(r *Record) Address { return r.UpstreamRemote }),
		"UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT":          ip(func(r *Record) Address { return r.UpstreamRemote }),
		"UPSTREAM_REMOTE_PORT":                          port(func(r *Record) Address { return r.UpstreamRemote }),
		"UPSTREAM_LOCAL_ADDRESS":                        address(func(r *Record) Address { return r.UpstreamLocal }),
		"UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT":           ip(func(r *Record) Address { return r.UpstreamLocal }),
		"UPSTREAM_LOCAL_PORT":                           port(func(r *Record) Address { return r.UpstreamLocal }),
		"UPSTREAM_CLUSTER":                              text(func(r *Record) string { return r.Cluster }),
		"UPSTREAM_CLUSTER_RAW":                          text(func(r *Record) string { return r.Cluster }),
		"UPSTREAM_PEER_URI_SAN":                         text(func(r *Record) string { return r.UpstreamPeerURI }),
		"UPSTREAM_TLS_VERSION":                          text(func(r *Record) string { return r.UpstreamTLSVersion }),
		"DOWNSTREAM_LOCAL_ADDRESS":                      address(local),
		"DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT":         ip(local),
		"DOWNSTREAM_LOCAL_PORT":                         port(local),
		"DOWNSTREAM_REMOTE_ADDRESS":                     address(remote),
		"DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT":        ip(remote),
		"DOWNSTREAM_REMOTE_PORT":                        port(remote),
		"DOWNSTREAM_DIRECT_REMOTE_ADDRESS":              address(direct),
		"DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT": ip(direct),
		"DOWNSTREAM_DIRECT_REMOTE_PORT":                 port(direct),
		"DOWNSTREAM_PEER_URI_SAN":                       text(func(r *Record) string { return r.PeerURI }),
		"DOWNSTREAM_LOCAL_URI_SAN":                      text(func(r *Record) string { return r.LocalURI }),
		"DOWNSTREAM_PEER_SUBJECT":                       text(func(r *Record) string { return r.PeerSubject }),
		"DOWNSTREAM_TLS_VERSION":                        text(func(r *Record) string { return r.TLSVersion }),
		"DOWNSTREAM_TLS_CIPHER":                         text(func(r *Record) string { return r.TLSCipher }),
		"REQUESTED_SERVER_NAME":                         text(func(r *Record) string { return r.ServerName }),
		"ROUTE_NAME":                                    text(func(r *Record) string { return r.RouteName }),
		"CONNECTION_ID":                                 number(func(r *Record) int64 { return int64(r.ConnectionID) }),
		"HOSTNAME":                                      text(func(*Record) string { return hostname }),
		"START_TIME":                                    startTime(defaultTime),
		"RESPONSE_FLAGS_LONG":                           {write: longFlags},
		"GRPC_STATUS_NUMBER":                            number(func(r *Record) int64 { return int64(r.GRPC) - 1 }),
		"TRACE_ID":                                      {write: traceID},
	}
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func milliseconds(d time.Duration) int64 {
	if d < 0 {
		return -1
	}
	return d.Milliseconds()
}

func txDuration(r *Record) int64 {
	if r.ResponseDuration < 0 {
		return -1
	}
	return (r.Duration - r.ResponseDuration).Milliseconds()
}

func startTime(layout string) operator {
	return operator{write: func(b []byte, r *Record) ([]byte, bool) { return r.Start.UTC().AppendFormat(b, layout), true }}
}

// header is %REQ(X?Y)%: the first name that is there.
func header(pick func(*Record) Headers, argument string, cutQuery bool) (operator, error) {
	first, second, _ := strings.Cut(strings.ToLower(argument), "?")
	if first == "" {
		return operator{}, fmt.Errorf("a header name is missing")
	}
	return operator{write: func(b []byte, r *Record) ([]byte, bool) {
		h := pick(r)
		if h == nil {
			return b, false
		}
		v, ok := h.Get(first)
		if !ok && second != "" {
			v, ok = h.Get(second)
		}
		if !ok {
			return b, false
		}
		if cutQuery {
			for i, c := range v {
				if c == '?' {
					v = v[:i]
					break
				}
			}
		}
		return appendValue(b, r, v), true
	}}, nil
}

// parseOperator reads what stands between two percent signs: NAME(ARGUMENT):LIMIT.
func parseOperator(s string) (operator, error) {
	name, argument, limit := s, "", 0
	if open := strings.IndexByte(s, '('); open >= 0 {
		end := strings.LastIndexByte(s, ')')
		if end < open {
			return operator{}, fmt.Errorf("%%%s%%: a bracket is not closed", s)
		}
		name, argument = s[:open], s[open+1:end]
		if rest := s[end+1:]; rest != "" {
			n, err := strconv.Atoi(strings.TrimPrefix(rest, ":"))
			if err != nil || n <= 0 || rest[0] != ':' {
				return operator{}, fmt.Errorf("%%%s%%: %q is not a length", s, rest)
			}
			limit = n
		}
	} else if before, after, ok := strings.Cut(s, ":"); ok {
		n, err := strconv.Atoi(after)
		if err != nil || n <= 0 {
			return operator{}, fmt.Errorf("%%%s%%: %q is not a length", s, after)
		}
		name, limit = before, n
	}
	op, err := operatorNamed(name, argument)
	if err != nil {
		return operator{}, fmt.Errorf("%%%s%%: %w", s, err)
	}
	op.limit = limit
	return op, nil
}

func operatorNamed(name, argument string) (operator, error) {
	switch name {
	case "REQ":
		return header(func(r *Record) Headers { return r.Request }, argument, false)
	case "REQ_WITHOUT_QUERY":
		return header(func(r *Record) Headers { return r.Request }, argument, true)
	case "RESP":
		return header(func(r *Record) Headers { return r.Response }, argument, false)
	case "TRAILER":
		return header(func(r *Record) Headers { return r.Trailers }, argument, false)
	case "GRPC_STATUS":
		if op, ok := grpcStatuses[argument]; ok {
			return op, nil
		}
		return operator{}, fmt.Errorf("%q is not one of CAMEL_STRING, SNAKE_STRING and NUMBER", argument)
	case "START_TIME":
		if argument == "" {
			return startTime(defaultTime), nil
		}
		layout, err := timeLayout(argument)
		return startTime(layout), err
	}
	op, ok := plainTable()[name]
	if !ok {
		return operator{}, fmt.Errorf("the operator %s is not supported", name)
	}
	if argument != "" {
		return operator{}, fmt.Errorf("the operator %s takes no argument", name)
	}
	return op, nil
}

// timeLayout translates strftime's conversions, and Envoy's %f with 1 to 9 digits in front, to Go's.
func timeLayout(format string) (string, error) {
	known := map[string]string{"Y": "2006", "m": "01", "d": "02", "H": "15", "M": "04", "S": "05", "y": "06", "b": "Jan", "a": "Mon", "z": "-0700", "Z": "MST", "T": "15:04:05", "F": "2006-01-02", "%": "%",
		"3f": "000", "6f": "000000", "9f": "000000000", "f": "000000000"}
	var out strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' {
			out.WriteByte(format[i])
			continue
		}
		n := 1
		if i+1 < len(format) && format[i+1] >= '1' && format[i+1] <= '9' {
			n = 2
		}
		if i+n >= len(format) {
			return "", fmt.Errorf("the time format %q ends in a %%", format)
		}
		conversion := format[i+1 : i+1+n]
		layout, ok := known[conversion]
		if !ok {
			return "", fmt.Errorf("the conversion %%%s of a time is not supported", conversion)
		}
		if strings.HasSuffix(conversion, "f") && !strings.HasSuffix(out.String(), ".") {
			return "", fmt.Errorf("the time format %q has a fraction that does not follow a dot", format)
		}
		out.WriteString(layout)
		i += n
	}
	return out.String(), nil
}
