package session

import (
	"maps"
	"slices"
	"time"

	"github.com/heddle-mesh/heddle/xds"
)

// blocked says that a listener, route or virtual host must wait: upstreams are on their way that it may name. Never longer than Patience.
func (s *Session) blocked(k *kind, now time.Time) bool {
	if k.fresh || k.rank < rankListener || k.rank == rankFree {
		return false
	}
	if c := s.kinds[xds.Cluster]; c != nil && c.subscribed && len(c.dirty) > 0 && now.Before(c.since.Add(Patience)) {
		return true
	}
	return len(s.making) > 0
}

// removalOrder is users before what they use: a cluster goes when no route names it any more.
func (s *Session) removalOrder() []*kind {
	order := make([]*kind, 0, len(s.order))
	for _, url := range []string{xds.Listener, xds.Route, xds.VirtualHost, xds.Cluster, xds.Endpoints} {
		if k := s.kinds[url]; k != nil {
			order = append(order, k)
		}
	}
	for _, k := range s.order {
		if k.rank == rankFree {
			order = append(order, k)
		}
	}
	return order
}

// settled says that nothing is on its way that a removal of this type must wait for: any addition of an ordered type, and the removal of what uses the type.
func (s *Session) settled(k *kind) bool {
	if k.rank == rankFree {
		return true
	}
	if len(s.making) > 0 {
		return false
	}
	for _, other := range s.order {
		if other.rank == rankFree {
			continue
		}
		user := k.rank == rankCluster && other.rank >= rankListener || k.rank == rankEndpoints && other.rank != rankEndpoints
		if len(other.dirty) > 0 || other.carries(user) || user && len(other.gone) > 0 {
			return false
		}
	}
	return true
}

// removals makes a response of the removals whose turn has come.
func (s *Session) removals(k *kind, now time.Time) (Response, bool) {
	settled := s.settled(k)
	var p pick
	for _, name := range slices.Sorted(maps.Keys(k.gone)) {
		if _, dirty := k.dirty[name]; dirty {
			continue
		}
		if settled || !now.Before(k.gone[name].Add(Patience)) {
			p.removed = append(p.removed, name)
		}
	}
	if len(p.removed) == 0 {
		return Response{}, false
	}
	return s.send(k, now, p), true
}

// Wake is when Next may have something to send without a request or a change; the zero time is never.
func (s *Session) Wake(now time.Time) time.Time {
	var wake time.Time
	at := func(t time.Time) {
		if t.After(now) && (wake.IsZero() || t.Before(wake)) {
			wake = t
		}
	}
	for _, k := range s.order {
		work := len(k.dirty) > 0 || k.answer
		if n := len(k.flights); n > 0 && (work || len(k.gone) > 0) {
			at(k.flights[n-1].at.Add(Patience))
		}
		for _, since := range k.gone {
			at(since.Add(Patience))
		}
		if work && k.rank >= rankListener && k.rank < rankFree {
			if c := s.kinds[xds.Cluster]; c != nil && !c.since.IsZero() {
				at(c.since.Add(Patience))
			}
			for _, since := range s.making {
				at(since.Add(Patience))
			}
		}
	}
	return wake
}
