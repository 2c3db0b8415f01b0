package stream

import (
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
	"github.com/heddle-mesh/heddle/data/proxy/upstream"
)

// maxNoted bounds the acts, and the tries, that the trail of an exchange holds; what is beyond is only counted (Exchange.Attempts).
const maxNoted = 16

// Act is what a filter did to an exchange: it is noted where it happens, in memory that exchanges keep, so that it costs a few stores.
type Act struct {
	Filter string // what kind: fault, cors, ext_authz, rbac
	Did    string // such as delayed, aborted, allowed, denied
	By     string // the policy, server or origin behind it; "" for none
	Status int    // that it answered with, 0 for none
	At     time.Duration
	Took   time.Duration // that the exchange waited for it
}

// Acted notes what a filter did; At is set here.
func (x *Exchange) Acted(a Act) {
	if len(x.acts) < maxNoted {
		a.At = x.w.Loop.Now().Sub(x.started)
		x.acts = append(x.acts, a)
	}
}

// Acts are what filters have noted, in order.
func (x *Exchange) Acts() []Act { return x.acts }

// Try is one try of an exchange. Times are of the worker's clock; zero is for what did not happen.
type Try struct {
	Number   int
	Endpoint loop.Address // zero: none could be chosen
	Workload string       // of the endpoint, Istio's metadata
	Choice   upstream.Choice
	Began    loop.Time // an endpoint was chosen
	Ready    loop.Time // there was a connection, and the request went out
	Ended    loop.Time // the response's head came, or it was clear that none would
	// Dialled, Connected and Secured are of the connection: when its connect began, when it was there, and when its TLS handshake had ended.
	Dialled, Connected, Secured loop.Time
	Status                      int
	Reason                      codec.Reason // why there is no response
	Detail                      string       // the transport's own words, or what ended the try
}

// tryBegins notes an endpoint that was chosen for the current try, nil for none.
func (x *Exchange) tryBegins(h *upstream.Host, c *upstream.Choice) {
	if len(x.tries) == maxNoted {
		return
	}
	t := Try{Number: x.attempts, Choice: *c, Began: x.tryAt}
	if h != nil {
		t.Endpoint, t.Workload = h.Address, h.Config().Workload
	}
	x.tries = append(x.tries, t)
}

// tryReady notes that the current try has a connection.
func (x *Exchange) tryReady(o *loop.Origin) {
	if t := x.tryOf(x.attempts); t != nil {
		t.Ready, t.Dialled, t.Connected, t.Secured = x.w.Loop.Now(), o.At, o.Connected, o.Secured
	}
}

// tryEnds notes what came of a try, unless something has been noted already.
func (x *Exchange) tryEnds(number, status int, r codec.Reason, detail string) {
	if t := x.tryOf(number); t != nil && t.Ended == 0 {
		t.Ended, t.Status, t.Reason, t.Detail = x.w.Loop.Now(), status, r, detail
	}
}

func (x *Exchange) tryOf(number int) *Try {
	if number < 1 || number > len(x.tries) {
		return nil
	}
	return &x.tries[number-1]
}

// Tries are those that were made, in order; the first 16 of them.
func (x *Exchange) Tries() []Try { return x.tries }

// Since is when something happened, after the exchange's start; -1 for what did not.
func (x *Exchange) Since(t loop.Time) time.Duration {
	if t == 0 {
		return -1
	}
	return t.Sub(x.started)
}

// Hashed are the route's hash policies, and a bit for each of the first 32 that found something in the request.
func (x *Exchange) Hashed() ([]config.HashPolicy, uint32) {
	if x.hashedBy == 0 {
		return nil, 0
	}
	return x.route.Forward.Hash, x.hashedBy
}

// Session is what the client keeps to its endpoint by, nil for nothing.
func (x *Exchange) Session() *config.Session { return x.session }

// TraceID is that of a request that is traced.
func (x *Exchange) TraceID() (high, low uint64, ok bool) {
	return x.trace.context.High, x.trace.context.Low, x.trace.active
}
