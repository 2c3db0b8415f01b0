package sim

// Recorder is a Handler for tests: it keeps what it is told.
type Recorder struct {
	Data     []byte
	EOF      bool
	Writable int
	Closed   int
	Err      error
	// OnBytes, when set, is called after bytes were recorded.
	OnBytes func()
	// OnEnd, when set, is called at the peer's half close.
	OnEnd func()
}

// OnData implements loop.Handler.
func (r *Recorder) OnData(p []byte) int {
	r.Data = append(r.Data, p...)
	if r.OnBytes != nil {
		r.OnBytes()
	}
	return len(p)
}

// OnEOF implements loop.Handler.
func (r *Recorder) OnEOF() {
	r.EOF = true
	if r.OnEnd != nil {
		r.OnEnd()
	}
}

// OnWritable implements loop.Handler.
func (r *Recorder) OnWritable() { r.Writable++ }

// OnClose implements loop.Handler.
func (r *Recorder) OnClose(err error) {
	r.Closed++
	r.Err = err
}
