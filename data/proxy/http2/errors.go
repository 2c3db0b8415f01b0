package http2

import "strconv"

// Code is an error code (RFC 9113 section 7).
type Code uint32

// The codes.
const (
	NoError Code = iota
	ProtocolError
	InternalError
	FlowControlError
	SettingsTimeout
	StreamClosed
	FrameSizeError
	RefusedStream
	Cancel
	CompressionError
	ConnectError
	EnhanceYourCalm
	InadequateSecurity
	HTTP11Required
)

var codeNames = [...]string{"NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED", "FRAME_SIZE_ERROR", "REFUSED_STREAM",
	"CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM", "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED"}

// String is the name in the RFC.
func (c Code) String() string {
	if int(c) < len(codeNames) {
		return codeNames[c]
	}
	return "0x" + strconv.FormatUint(uint64(c), 16)
}

// Error is what ends a connection, or a message that must not be forwarded. Code is what the peer is told, Detail what happened; a flood or a malformed message has Envoy's
// response code detail. Status is what a client would be told of a request, if somebody answers.
type Error struct {
	Code   Code
	Detail string
	Status int
}

// Error satisfies error.
func (e *Error) Error() string { return "http2: " + e.Code.String() + ": " + e.Detail }

// broken is an error of the connection.
func broken(c Code, detail string) *Error { return &Error{Code: c, Detail: detail} }

// Errors of a message: its stream is reset and the connection goes on (RFC 9113 section 8.1.1).
var (
	ErrField      = &Error{ProtocolError, "http2.invalid.header.field", 400}
	ErrMessage    = &Error{ProtocolError, "http2.violation.of.messaging.rule", 400}
	ErrUnderscore = &Error{ProtocolError, "http2.unexpected_underscore", 400}
	ErrHeadSize   = &Error{EnhanceYourCalm, "http2.too_large_headers", 431}
	ErrHeadCount  = &Error{EnhanceYourCalm, "http2.too_many_headers", 431}
)

// Errors of a peer that gives more work than it does (ENHANCE_YOUR_CALM ends the connection).
var (
	ErrEmptyFlood    = &Error{Code: EnhanceYourCalm, Detail: "http2.inbound_empty_frames_flood"}
	ErrPriorityFlood = &Error{Code: EnhanceYourCalm, Detail: "http2.inbound_priority_frames_flood"}
	ErrWindowFlood   = &Error{Code: EnhanceYourCalm, Detail: "http2.inbound_window_update_frames_flood"}
	ErrOutputFlood   = &Error{Code: EnhanceYourCalm, Detail: "http2.outbound_frames_flood"}
	ErrControlFlood  = &Error{Code: EnhanceYourCalm, Detail: "http2.outbound_control_flood"}
	ErrHeadTime      = &Error{Code: EnhanceYourCalm, Detail: "http2.request_header_timeout"}
	ErrHeaderFlood   = &Error{Code: EnhanceYourCalm, Detail: "http2.inbound_continuation_frames_flood"}
	ErrResetFlood    = &Error{Code: EnhanceYourCalm, Detail: "http2.premature_resets"}
)
