package trace

import "github.com/heddle-mesh/heddle/data/proxy/codec"

var clientTrace = codec.MakeName("x-client-trace-id")

// Shares are the three samplings of a connection manager, of ten thousand.
type Shares struct{ Client, Random, Overall uint32 }

const whole = 10_000

// The 15th character of a request id tells the next hops why the request is traced, or that it is not (Envoy's UUID request ids).
const (
	reasonAt = 14
	none     = '4'
	sampled  = '9'
	forced   = 'a'
	byClient = 'b'
)

// Decide says whether a request is traced, and writes the reason into its request id. random serves the client's share; the others follow from the id, so that all hops
// decide alike. id must be the request's own (codec.Head.Value), in which one character is changed. A request without a proper id is not traced.
func Decide(h *codec.Head, s Shares, random uint64) bool {
	id, ok := h.Value(codec.RequestID)
	if !ok || len(id) != IDSize {
		return false
	}
	n, ok := number(id[:8])
	if !ok {
		return false
	}
	of := uint32(n % whole)
	switch id[reasonAt] {
	case sampled, forced, byClient:
	default:
		switch {
		case h.Has(clientTrace) && uint32(random%whole) < s.Client:
			id[reasonAt] = byClient
		case h.Has(codec.EnvoyForceTrace):
			id[reasonAt] = forced
		case of < s.Random:
			id[reasonAt] = sampled
		default:
			return false
		}
	}
	if of >= s.Overall {
		id[reasonAt] = none
		return false
	}
	return true
}

// Forget takes the reason out of a request id that came from outside.
func Forget(h *codec.Head) {
	if id, ok := h.Value(codec.RequestID); ok && len(id) == IDSize {
		id[reasonAt] = none
	}
}
