package loop

// Conn is one byte stream owned by one worker, plain or TLS. Every call happens on the worker's goroutine. No call calls back into the
// Handler before it returns: what follows from it happens later in the same turn.
type Conn interface {
	// SetHandler gives the stream to h, which is shown what the former handler left unconsumed and told again of an end of stream.
	// Nothing is read before the first handler is set.
	SetHandler(h Handler)
	// Write queues a copy of p; what is queued is flushed once, at the end of the turn. It never blocks and never refuses;
	// after CloseWrite, Close or Abort it does nothing. Look at Full and stop the source.
	Write(p []byte)
	// Buffered is the number of bytes queued and not yet taken by the kernel.
	Buffered() int
	// PauseRead stops OnData and OnEOF; a reset by the peer is still told by OnClose. Idempotent.
	PauseRead()
	// ResumeRead undoes PauseRead; bytes kept meanwhile are shown in the same turn. Idempotent.
	ResumeRead()
	// CloseWrite sends the end of stream (FIN, for TLS close_notify and FIN) after the queue. When the peer's end has come too, the stream is closed.
	CloseWrite()
	// Close flushes what is queued, then closes; nothing but OnClose(nil) is called any more. An accepted connection lingers up to
	// one second without its handler, so that a reset cannot overtake the last bytes.
	Close()
	// Abort closes now and drops what is queued; rst asks for a TCP reset. OnClose(nil) follows.
	Abort(rst bool)
	// Origin is what accept or dial learnt of the stream. It stays valid after the close.
	Origin() *Origin
	// Worker is the owner.
	Worker() *Worker
}

// Handler takes the events of one Conn.
type Handler interface {
	// OnData shows bytes in order and returns how many are consumed. p dies with the call; what is not consumed is kept (pooled) and
	// shown again in front of new bytes, or after ResumeRead.
	OnData(p []byte) (consumed int)
	// OnEOF tells the peer's half close (for TLS: close_notify). The stream can still be written.
	OnEOF()
	// OnWritable tells that the queue, having been above Origin.Low, is at it or below.
	OnWritable()
	// OnClose is called exactly once and last: nil for an orderly or own close, else what went wrong (a reset, a transport failure).
	OnClose(err error)
}

// HighWatermark and LowWatermark are the bytes in a connection's queue at which its sources should stop, and go on, where its Origin has no limit.
const (
	HighWatermark = 256 << 10
	LowWatermark  = 64 << 10
)

// Full says whether the sources of a connection should stop until OnWritable.
func Full(c Conn) bool { return c.Buffered() > c.Origin().High() }

// maxKept bounds the bytes that a handler may leave unconsumed; a codec's own limits are far below.
const maxKept = 4 << 20
