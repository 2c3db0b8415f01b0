package http2

import "github.com/heddle-mesh/heddle/data/proxy/codec"

// Limits are what a Conn grants to its peer and how much trouble it puts up with. Begin with Defaults or Edge.
type Limits struct {
	// Streams bounds the peer's open streams; of a client, its own, below the peer's limit. Envoy: max_concurrent_streams.
	Streams uint32
	// StreamWindow and ConnWindow are the bytes that the peer may send before they are consumed, and so the bytes that a paused stream and a connection may park.
	// Envoy: initial_stream_window_size, initial_connection_window_size. At least 65535.
	StreamWindow, ConnWindow uint32
	// HeadBytes bounds the fields of a head or trailers as RFC 9113 section 6.5.2 counts them; each name and value is bounded by it too. Envoy: max_request_headers_kb.
	HeadBytes int
	// Fields bounds their number, those that begin with a colon included; the pieces of a cookie are one. Envoy: max_headers_count.
	Fields int
	// Underscores is what becomes of a request with an underscore in a field's name. Envoy: headers_with_underscores_action.
	Underscores codec.Underscores
	// TableSize bounds both tables of header compression. Envoy: hpack_table_size.
	TableSize uint32
	// Plain leaves the Huffman code out of what is sent. Envoy: enable_huffman_encoding.
	Plain bool
	// Connect allows extended CONNECT (RFC 8441). Envoy: allow_connect.
	Connect bool
	// StreamQueue is how much a stream may have queued before it says that it is full. The owner stops its source then; it is no bound by itself.
	StreamQueue int
	// Output is how many bytes of bodies wait in the Output; what is more waits in its stream, so that frames of other streams need not wait behind it.
	Output int

	// EmptyFrames is how many HEADERS, CONTINUATION and DATA frames may follow one another that carry nothing and end nothing (CVE-2019-9518).
	// Envoy: max_consecutive_inbound_frames_with_empty_payload.
	EmptyFrames int
	// PriorityFrames is how many PRIORITY frames come with a stream. Envoy: max_inbound_priority_frames_per_stream, which gives the formula.
	PriorityFrames int
	// WindowUpdates is how many WINDOW_UPDATE frames come with a DATA frame that was sent. Envoy: max_inbound_window_update_frames_per_data_frame_sent, likewise.
	WindowUpdates int
	// OutputFrames bounds the frames, and ControlFrames the PING, SETTINGS, RST_STREAM and WINDOW_UPDATE frames among them, that wait for a peer who does not read
	// (CVE-2019-9512, 9514, 9515, 9517). Envoy: max_outbound_frames, max_outbound_control_frames.
	OutputFrames, ControlFrames int
	// PrematureResets is the number of streams from which on at most half may have been reset by the client, or for its mistakes, before they were answered
	// (CVE-2023-44487, CVE-2025-8671). Envoy: overload.premature_reset_total_stream_count, which counts the first second of a stream; here it is the time until the
	// response's head.
	PrematureResets int
}

// Defaults are Envoy's (Http2ProtocolOptions of 1.40, and HttpConnectionManager for heads).
func Defaults() Limits {
	return Limits{
		Streams: 1024, StreamWindow: 16 << 20, ConnWindow: 24 << 20, HeadBytes: 60 << 10, Fields: 100, TableSize: 4096, StreamQueue: 64 << 10, Output: HighWatermark,
		EmptyFrames: 1, PriorityFrames: 100, WindowUpdates: 10, OutputFrames: 10000, ControlFrames: 1000, PrematureResets: 500,
	}
}

// Edge are those that Envoy's guide recommends where clients are not trusted ("Configuring Envoy as an edge proxy").
func Edge() Limits {
	l := Defaults()
	l.Streams, l.StreamWindow, l.ConnWindow = 100, 64<<10, 1<<20
	return l
}

// Buffering are the limits where a connection may hold so many bytes only; StreamQueue is lowered alike. Envoy: per_connection_buffer_limit_bytes.
func (l Limits) Buffering(n int) Limits {
	l.Output, l.StreamQueue = n, min(l.StreamQueue, n)
	return l
}

// continuations bounds the CONTINUATION frames of a block: eight are enough for everybody who fills them (as nghttp2 has it), more for larger heads.
func (l *Limits) continuations() int { return 8 + l.HeadBytes/minFrame }

// blockBytes bounds a block as it is on the wire. What is more than a head may have is read only to keep the compression in step.
func (l *Limits) blockBytes() int { return 2*l.HeadBytes + minFrame }
