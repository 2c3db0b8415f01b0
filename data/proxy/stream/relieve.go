package stream

import "github.com/heddle-mesh/heddle/data/proxy/codec"

// Relieve gives up exchanges that hold a full buffer: an eighth of them, and at least a few. A connection of HTTP/2 holds no more than its window, however many exchanges it has,
// and stays.
func (w *Worker) Relieve() {
	var heavy []*conn
	w.each(func(c client) {
		if c, ok := c.(*conn); ok && c.x != nil && c.x.heavy() {
			heavy = append(heavy, c)
		}
	})
	for _, c := range heavy[:min(len(heavy), max(len(heavy)/8, 16))] {
		x, begun := c.x, c.x.startedReply
		w.Shard.Inc(x.m.stats.OverloadReset)
		x.flags = x.flags.With(codec.FlagOverloadManager)
		x.giveUp(503, "envoy overloaded", "overload_reset_high_memory_stream")
		if begun {
			c.lc.Abort(true) // what the client does not read would be kept for a while
		}
	}
}

// heavy says whether so much waits in the exchange that its source was stopped.
func (x *Exchange) heavy() bool { return x.full || x.upPaused || x.up != nil && x.up.Full() }

// Trim gives what is kept for the next use to the garbage collector.
func (w *Worker) Trim() {
	w.free, w.parts, w.freeParts = nil, nil, 0
	w.slab.Trim()
}
