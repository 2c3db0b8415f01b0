package accesslog

import (
	"strconv"
	"strings"
)

// longNames are Envoy's long names of the response flags.
var longNames = map[string]string{
	"UH": "NoHealthyUpstream", "UT": "UpstreamRequestTimeout", "LR": "LocalReset", "UR": "UpstreamRemoteReset", "UF": "UpstreamConnectionFailure", "UC": "UpstreamConnectionTermination", "UO": "UpstreamOverflow",
	"NR": "NoRouteFound", "DI": "DelayInjected", "FI": "FaultInjected", "DC": "DownstreamConnectionTermination", "URX": "UpstreamRetryLimitExceeded", "SI": "StreamIdleTimeout", "DPE": "DownstreamProtocolError",
	"UMSDR": "UpstreamMaxStreamDurationReached", "DT": "DurationTimeout", "UPE": "UpstreamProtocolError", "NC": "NoClusterFound", "OM": "OverloadManagerTerminated", "DR": "DownstreamRemoteReset",
}

// longFlags writes the long names, "-" for no flag.
func longFlags(b []byte, r *Record) ([]byte, bool) {
	if r.Flags == "" {
		return append(b, absence...), true
	}
	for rest, more := r.Flags, true; more; {
		var flag string
		if flag, rest, more = strings.Cut(rest, ","); more {
			b = append(append(b, longNames[flag]...), ',')
		} else {
			b = append(b, longNames[flag]...)
		}
	}
	return b, true
}

// The names of gRPC's statuses, in Envoy's two ways of writing them.
var (
	camelStatus = [17]string{"OK", "Canceled", "Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound", "AlreadyExists", "PermissionDenied", "ResourceExhausted", "FailedPrecondition", "Aborted", "OutOfRange",
		"Unimplemented", "Internal", "Unavailable", "DataLoss", "Unauthenticated"}
	snakeStatus = [17]string{"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE",
		"UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"}
)

// grpcStatuses are the forms of %GRPC_STATUS(FORM)%.
var grpcStatuses = map[string]operator{
	"":             text(func(r *Record) string { return grpcName(r.GRPC-1, camelStatus[:]) }),
	"CAMEL_STRING": text(func(r *Record) string { return grpcName(r.GRPC-1, camelStatus[:]) }),
	"SNAKE_STRING": text(func(r *Record) string { return grpcName(r.GRPC-1, snakeStatus[:]) }),
	"NUMBER":       number(func(r *Record) int64 { return int64(r.GRPC) - 1 }),
}

// grpcName is a status by name, by number where it has none, and "" where there is none.
func grpcName(n int, names []string) string {
	switch {
	case n < 0:
		return ""
	case n < len(names):
		return names[n]
	}
	return strconv.Itoa(n)
}

// traceID writes 32 digits, or 16 of an id that is no longer.
func traceID(b []byte, r *Record) ([]byte, bool) {
	if r.TraceHigh|r.TraceLow == 0 {
		return b, false
	}
	if r.TraceHigh != 0 {
		b = appendHex(b, r.TraceHigh)
	}
	return appendHex(b, r.TraceLow), true
}

func appendHex(b []byte, n uint64) []byte {
	const digits = "0123456789abcdef"
	for shift := 60; shift >= 0; shift -= 4 {
		b = append(b, digits[n>>shift&15])
	}
	return b
}
