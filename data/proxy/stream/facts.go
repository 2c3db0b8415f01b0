package stream

import (
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/route"
)

// Flags are the response flags so far.
func (x *Exchange) Flags() codec.Flags { return x.flags }

// Flag sets a response flag.
func (x *Exchange) Flag(f codec.Flag) { x.flags = x.flags.With(f) }

// Details are the response code details.
func (x *Exchange) Details() string { return x.details }

// Decided notes the policy that decided on access, for the decision trail.
func (x *Exchange) Decided(policy string) { x.policy = policy }

// SetPeer notes what the peer told of itself in x-envoy-peer-metadata and x-envoy-peer-metadata-id.
func (x *Exchange) SetPeer(metadata, id string) { x.facts = factsOf{metadata, id} }

// Peer is what SetPeer noted.
func (x *Exchange) Peer() (metadata, id string) { return x.facts.peer, x.facts.id }

// AllowOrigin notes that a policy lets pages of the origin read the response. The slice belongs to the request.
func (x *Exchange) AllowOrigin(by *config.CORS, origin []byte) { x.cors, x.corsOrigin = by, origin }

// AllowedOrigin is what AllowOrigin noted; nil when no origin is allowed.
func (x *Exchange) AllowedOrigin() (by *config.CORS, origin []byte) { return x.cors, x.corsOrigin }

// Attempts is the number of tries.
func (x *Exchange) Attempts() int { return x.attempts }

// Matches compares a header of the request.
func (x *Exchange) Matches(m *config.HeaderMatch) bool { return matchHeader(x.w, m, &x.Request) }

// MatchesEach compares each value of a header of the request, and all of them together (route.HeaderEach).
func (x *Exchange) MatchesEach(m *config.HeaderMatch, liberal bool) bool {
	return route.HeaderEach(m, x.w.view(&x.Request, 0), liberal)
}

// ReplyGRPC answers with a gRPC status: in the head for a gRPC client, as the nearest HTTP status for others.
func (x *Exchange) ReplyGRPC(code int, message, details string) {
	if !x.isGRPC() {
		x.Reply(httpOf(code), message, details)
		return
	}
	x.reply(200, message, details, func(h *codec.Head) { h.SetInt(codec.GRPCStatus, int64(code)) })
}

// httpOf maps a gRPC status to HTTP (google.rpc.Code).
func httpOf(code int) int {
	switch code {
	case 0:
		return 200
	case 1:
		return 499
	case 3, 9, 11:
		return 400
	case 4:
		return 504
	case 5:
		return 404
	case 6, 10:
		return 409
	case 7:
		return 403
	case 8:
		return 429
	case 12:
		return 501
	case 14:
		return 503
	case 16:
		return 401
	}
	return 500
}

// Times are when an exchange began, and how long after that the request's last byte and the response's first came (-1: never), and how long it has lasted.
type Times struct {
	Start                    time.Time
	Request, Response, Whole time.Duration
}

// Times are those so far.
func (x *Exchange) Times() Times {
	t := Times{Start: x.arrived, Request: -1, Response: -1, Whole: x.Duration()}
	if x.requestDone {
		t.Request = x.complete.Sub(x.started)
	}
	if x.answered != 0 {
		t.Response = x.answered.Sub(x.started)
	}
	return t
}

// Protocol is the client's, such as HTTP/1.1.
func (x *Exchange) Protocol() string { return x.down.protocol() }

// noteTrailers keeps the response's trailers for the books, and their gRPC status, which a filter may take away.
func (x *Exchange) noteTrailers(t *codec.Fields) {
	x.trailers = t
	if v, ok := t.Value(codec.GRPCStatus); ok {
		x.grpcStatus = grpcNumber(v)
	}
}

// grpcNumber is a gRPC status plus one, 0 for what is none.
func grpcNumber(v []byte) (n uint8) {
	if len(v) == 0 || len(v) > 2 {
		return 0
	}
	for _, c := range v {
		if c < '0' || c > '9' {
			return 0
		}
		n = n*10 + c - '0'
	}
	return n + 1
}

// GRPCStatus is the gRPC status of the response: in its trailers, or in the head of one that is nothing else, or what its HTTP status stands for. -1: there is no response, or
// the request is not gRPC's.
func (x *Exchange) GRPCStatus() int {
	if !x.isGRPC() || x.Response.Status == 0 {
		return -1
	}
	n := x.grpcStatus
	if v, ok := x.Response.Value(codec.GRPCStatus); ok && n == 0 {
		n = grpcNumber(v)
	}
	if n == 0 {
		return codec.GRPCStatusOf(x.Response.Status)
	}
	return int(n) - 1
}

// trailing shows trailers to the access log.
type trailing codec.Fields

// Get implements accesslog.Headers.
func (t *trailing) Get(name string) ([]byte, bool) {
	return (*codec.Fields)(t).Value(codec.MakeName(name))
}
