package http2

import "slices"

// Counters are what a connection has seen, for metrics and for policies that know the time.
type Counters struct {
	Streams     uint64 // opened
	RxReset     uint64
	TxReset     uint64
	RxMalformed uint64 // messages
	Settings    uint64
	Pings       uint64
	Priorities  uint64
	Windows     uint64 // WINDOW_UPDATE frames
}

// flood keeps the peer's work and ours in proportion. There is no clock: every bound is a ratio, so that it holds for a minute and for a month.
type flood struct {
	Counters
	dataFrames uint64 // sent
	empties    int    // in a row

	answered  int // streams that ended, of which
	premature int // were reset by the peer, or for its mistakes, before their response

	bytes int64 // written
	// Frames that wait in the Output: at most newer + older. older were written before mark.
	newer, older queued
	mark         int64
}

type queued struct{ all, control int }

// empty counts frames that carry nothing and end nothing.
func (f *flood) empty(l *Limits, empty bool) *Error {
	if !empty {
		f.empties = 0
		return nil
	}
	if f.empties++; f.empties > l.EmptyFrames {
		return ErrEmptyFlood
	}
	return nil
}

func (f *flood) priority(l *Limits) *Error {
	if f.Priorities++; f.Priorities > uint64(l.PriorityFrames)*(1+f.Streams) {
		return ErrPriorityFlood
	}
	return nil
}

func (f *flood) windowUpdate(l *Limits) *Error {
	if f.Windows++; f.Windows > 5+2*(f.Streams+uint64(l.WindowUpdates)*f.dataFrames) {
		return ErrWindowFlood
	}
	return nil
}

func (f *flood) wrote(control bool) {
	f.newer.all++
	if control {
		f.newer.control++
	}
}

// blame counts a stream that ended by the peer's doing; s is nil when it had not even begun.
func (f *flood) blame(s *Stream) {
	if s == nil || !s.begun {
		f.premature++
	}
	f.done()
}

// done counts a stream that ended. What is long ago weighs half.
func (f *flood) done() {
	if f.answered++; f.answered >= 1<<16 {
		f.answered /= 2
		f.premature /= 2
	}
}

// rotation is how many frames are written before it is looked again how many have left.
const rotation = 64

// rotate lets go of frames that have left; so many bytes have not.
func (f *flood) rotate(buffered int) {
	if buffered == 0 {
		f.newer = queued{}
	}
	if f.bytes-int64(buffered) >= f.mark {
		f.older, f.newer, f.mark = f.newer, queued{}, f.bytes
	}
}

// maxOutput bounds the bytes that wait in the Output: bodies stop far below.
const maxOutput = 16 * HighWatermark

// flooded says whether the peer has gone too far.
func (c *Conn) flooded() *Error {
	f, l, buffered := &c.flood, &c.limits, c.out.Buffered()
	f.rotate(buffered)
	switch {
	case f.newer.control+f.older.control > l.ControlFrames:
		return ErrControlFlood
	case f.newer.all+f.older.all > l.OutputFrames, buffered > maxOutput:
		return ErrOutputFlood
	case c.role == Server && 2*f.premature > max(f.answered, l.PrematureResets):
		return ErrResetFlood
	}
	return nil
}

// Counters are the numbers so far.
func (c *Conn) Counters() Counters { return c.flood.Counters }

// resets are the streams that were reset lately: what was on its way for them is ignored (RFC 9113 section 5.1). Of older ones it is only known that they were.
type resets struct {
	ids    []uint32
	next   int
	forgot uint32 // every stream up to here may have been one
}

const keepResets = 64

func (r *resets) add(id uint32) {
	if len(r.ids) < keepResets {
		r.ids = append(r.ids, id)
		return
	}
	r.forgot = max(r.forgot, r.ids[r.next])
	r.ids[r.next] = id
	r.next = (r.next + 1) % keepResets
}

func (r *resets) has(id uint32) bool { return id <= r.forgot || slices.Contains(r.ids, id) }

// ignored says whether what comes for a closed stream of a client may have been on its way when we ended it.
func (c *Conn) ignored(id uint32) bool {
	return c.resets.has(id) || c.away.final && id > c.away.last
}
