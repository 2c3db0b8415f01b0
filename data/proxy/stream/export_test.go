package stream

// HeldFrames is the number of bytes that streams of HTTP/2 have parked or queued on the worker.
func (w *Worker) HeldFrames() int { return w.slab.InUse() }

// Clients is the number of open connections.
func (w *Worker) Clients() (n int) {
	w.each(func(client) { n++ })
	return n
}

// Within and CookieEndpoint are how sessions are read.
var Within, CookieEndpoint = within, cookieEndpoint
