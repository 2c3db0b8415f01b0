package loop

import "errors"

// ErrKept is the close reason of a connection whose handler left more unconsumed than the limit.
var ErrKept = errors.New("too many unconsumed bytes")

// Source is where an Inbound reads: a Socket, or the plaintext of a transport. It returns ErrAgain instead of blocking and io.EOF at the end.
type Source interface {
	Read(p []byte) (int, error)
}

// Inbound is the receiving half of a Conn, for whoever implements one: it shows bytes to the handler, keeps what is not consumed and tells the end once.
type Inbound struct {
	handler   Handler
	kept      *chunk
	epoch     uint32 // counts SetHandler
	paused    bool
	shut      bool
	ended     bool // the source is at its end
	endTold   bool
	redeliver bool // kept bytes must be shown again
}

// Handler is who is shown the bytes, nil before the first.
func (b *Inbound) Handler() Handler { return b.handler }

// SetHandler gives the stream to h, which is shown what is kept and told of the end again at the next Deliver.
func (b *Inbound) SetHandler(h Handler) {
	b.handler = h
	b.epoch++
	b.endTold = false
	b.redeliver = b.kept != nil
}

// Pause stops the calls and says whether that changed anything.
func (b *Inbound) Pause() bool {
	changed := !b.paused
	b.paused = true
	return changed
}

// Resume undoes Pause and says whether that changed anything; call Deliver later in the turn.
func (b *Inbound) Resume() bool {
	changed := b.paused
	if changed {
		b.paused = false
		b.redeliver = b.kept != nil
	}
	return changed
}

// Shut ends all calls but OnClose and drops what is kept.
func (b *Inbound) Shut(w *Worker) {
	b.shut = true
	b.drop(w)
}

// Receiving says whether the handler may be called with bytes.
func (b *Inbound) Receiving() bool { return b.handler != nil && !b.paused && !b.shut }

// Wants says whether the source should be read.
func (b *Inbound) Wants() bool { return b.Receiving() && !b.ended }

// Ended says whether the end was reached; Told whether the handler knows.
func (b *Inbound) Ended() bool { return b.ended }

// Told says whether the handler was told of the end.
func (b *Inbound) Told() bool { return b.endTold }

// End notes that the source is at its end.
func (b *Inbound) End() { b.ended = true }

// Deliver makes the calls that are due without reading: kept bytes, then the end.
func (b *Inbound) Deliver(w *Worker) {
	if b.redeliver && b.kept != nil && b.Receiving() {
		b.showKept(w)
	}
	// The end is told behind the last byte: what is kept must have been shown.
	if b.ended && !b.endTold && b.Receiving() && (b.kept == nil || !b.redeliver) {
		b.endTold = true
		b.handler.OnEOF()
	}
}

// Fill reads once from src, by way of the worker's shared buffer, and shows what came behind what is kept.
func (b *Inbound) Fill(w *Worker, shared []byte, src Source) (int, error) {
	have := 0
	if b.kept != nil {
		have = b.kept.w - b.kept.r
		if have > len(shared)/2 {
			return b.fillKept(w, src)
		}
		copy(shared, b.kept.b[b.kept.r:b.kept.w])
	}
	n, err := src.Read(shared[have:])
	if n > 0 {
		b.keep(w, b.show(shared[:have+n]))
	}
	return n, err
}

// fillKept is the way of a handler that waits for more than half a read buffer.
func (b *Inbound) fillKept(w *Worker, src Source) (int, error) {
	k := b.kept
	if k.w == len(k.b) {
		have := k.w - k.r
		if have >= maxKept {
			return 0, ErrKept
		}
		bigger := w.pool.get(max(2*have, largeChunk+1))
		bigger.w = copy(bigger.b, k.b[k.r:k.w])
		w.pool.put(k)
		k, b.kept = bigger, bigger
	}
	n, err := src.Read(k.b[k.w:])
	if n > 0 {
		k.w += n
		b.showKept(w)
	}
	return n, err
}

// show gives p to the handler, and to the next one when the handler hands the stream over, and returns what is left.
func (b *Inbound) show(p []byte) []byte {
	for len(p) > 0 && b.Receiving() {
		epoch := b.epoch
		n := b.handler.OnData(p)
		p = p[n:]
		if b.epoch == epoch {
			break
		}
	}
	b.redeliver = false
	return p
}

// keep stores what show returned; p lies in a shared buffer.
func (b *Inbound) keep(w *Worker, p []byte) {
	if len(p) == 0 || b.shut {
		b.drop(w)
		return
	}
	if b.kept == nil || len(b.kept.b) < len(p) {
		b.drop(w)
		b.kept = w.pool.get(len(p))
	}
	b.kept.r, b.kept.w = 0, copy(b.kept.b, p)
}

// showKept gives the stored bytes to the handler.
func (b *Inbound) showKept(w *Worker) {
	k := b.kept
	b.kept = nil // a handler that closes must not recycle what it is reading
	rest := b.show(k.b[k.r:k.w])
	k.r = k.w - len(rest)
	if len(rest) == 0 || b.shut {
		w.pool.put(k)
		return
	}
	b.kept = k
}

func (b *Inbound) drop(w *Worker) {
	if b.kept != nil {
		w.pool.put(b.kept)
		b.kept = nil
	}
}
