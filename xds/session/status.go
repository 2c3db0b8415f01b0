package session

import (
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/heddle-mesh/heddle/xds"
)

// TypeStatus is what the client was sent of one type and what it answered.
type TypeStatus struct {
	TypeURL             string
	Wildcard            bool
	Held                int    // resources that the client was told to hold
	Idle                bool   // the client wants nothing more of the type
	Sent, Acked, Nacked string // nonces; "" for none yet
	SentAt, AckedAt     time.Time
	Error               string   // of the last refusal, until the next acceptance
	Refused             []string // names whose newest version the client refused
}

// Synced says that the last response was accepted, or that the client wants none.
func (t TypeStatus) Synced() bool { return t.Idle || t.Sent != "" && t.Sent == t.Acked }

// Status is the state of every type that the client asked for, in the order of the wire.
func (s *Session) Status() []TypeStatus {
	var all []TypeStatus
	for _, k := range s.order {
		if !k.subscribed {
			continue
		}
		t := TypeStatus{
			TypeURL: k.url, Wildcard: k.wildcard, Idle: k.named == 0 && !k.wildcard, Sent: k.sentNonce, Acked: k.ackNonce, Nacked: k.nackNonce, SentAt: k.sentAt, AckedAt: k.ackAt, Error: k.nackText,
		}
		for name, e := range k.entries {
			if e.sent != nil {
				t.Held++
			}
			if v := k.refused[name]; v != "" && e.seen != nil && e.seen.Version == v {
				t.Refused = append(t.Refused, name)
			}
		}
		slices.Sort(t.Refused)
		all = append(all, t)
	}
	return all
}

// Held is what the client was told to hold of a type, by name.
func (s *Session) Held(typeURL string) iter.Seq[*xds.Resource] {
	k := s.kinds[typeURL]
	if k == nil {
		return func(func(*xds.Resource) bool) {}
	}
	return slices.Values(k.world())
}

// Explicit is the names of a type that the client asked for by name.
func (s *Session) Explicit(typeURL string) []string {
	k := s.kinds[typeURL]
	if k == nil {
		return nil
	}
	return slices.Sorted(func(yield func(string) bool) {
		for name := range maps.Keys(k.entries) {
			if k.entries[name].explicit && !yield(name) {
				return
			}
		}
	})
}

// Drained says that all there is to send was sent, removals included.
func (s *Session) Drained() bool {
	for _, k := range s.order {
		if len(k.dirty) > 0 || len(k.gone) > 0 || k.answer || k.relist {
			return false
		}
	}
	return true
}

// Confirmed says that nothing is to be sent and every response was answered.
func (s *Session) Confirmed() bool {
	for _, k := range s.order {
		if len(k.flights) > 0 {
			return false
		}
	}
	return s.Drained()
}

// Size is how many names of how many types the session keeps that the client asked for one by one (and types at all).
func (s *Session) Size() (names, types int) {
	for _, k := range s.order {
		names += k.named
	}
	return names, len(s.order)
}
