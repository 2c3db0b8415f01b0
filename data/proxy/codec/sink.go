package codec

// Sink takes the events of one message in order: Informational*, Head, Body*, Trailers?. The event with end set, or Trailers, is the last. Abort may come at any
// time instead and is the last. Arguments die with the call.
type Sink interface {
	// Head is the start of the message.
	Head(h *Head, end bool)
	// Informational is a 1xx response other than 101.
	Informational(h *Head)
	// Body is a piece of the body; p may be empty when end is set.
	Body(p []byte, end bool)
	// Trailers end the message.
	Trailers(t *Fields)
	// Abort ends the message unfinished; detail is what the transport or the codec said.
	Abort(r Reason, detail string)
}

// Receiver is a Sink that is also told when a queue that was full has room again.
type Receiver interface {
	Sink
	// Writable tells that the sending direction of the same connection can take more.
	Writable()
}

// Stream is one half of an exchange as its codec offers it: the calls of Sink send a message, and the rest holds the other direction back.
type Stream interface {
	Sink
	// Full says that so much of the sent message waits that its source should stop; Receiver.Writable tells when it may go on.
	Full() bool
	// Pause stops the delivery of the received message; Resume goes on.
	Pause()
	Resume()
}

// Reason says why a message ended unfinished (Envoy's StreamResetReason).
type Reason uint8

// The reasons.
const (
	NoReason Reason = iota
	LocalReset
	RemoteReset
	LocalConnectionFailure
	RemoteConnectionFailure
	ConnectionTimeout
	ConnectionTermination
	Overflow
	ProtocolError
	RefusedStream // by an HTTP/2 upstream that did not look at the request
)

// String is Envoy's text, which is part of the body of a local reply.
func (r Reason) String() string {
	return [...]string{"", "local reset", "remote reset", "local connection failure", "remote connection failure", "connection timeout", "connection termination", "overflow", "protocol error", "remote refused stream reset"}[r]
}

// Detail is Envoy's text without blanks, as response code details have it.
func (r Reason) Detail() string {
	return [...]string{"", "local_reset", "remote_reset", "local_connection_failure", "remote_connection_failure", "connection_timeout", "connection_termination", "overflow", "protocol_error", "remote_refused_stream_reset"}[r]
}

// Flag is the response flag of the reason.
func (r Reason) Flag() Flag {
	switch r {
	case LocalReset:
		return FlagLocalReset
	case RemoteReset, RefusedStream:
		return FlagUpstreamRemoteReset
	case LocalConnectionFailure, RemoteConnectionFailure, ConnectionTimeout:
		return FlagUpstreamConnectionFailure
	case ConnectionTermination:
		return FlagUpstreamConnectionTermination
	case Overflow:
		return FlagUpstreamOverflow
	case ProtocolError:
		return FlagUpstreamProtocolError
	}
	return NoFlag
}

// ConnectFailed says that no connection came about.
func (r Reason) ConnectFailed() bool {
	return r == LocalConnectionFailure || r == RemoteConnectionFailure || r == ConnectionTimeout
}
