// Package session is the protocol state of one xDS client: subscriptions, nonces, versions, acknowledgements, and the order in which things are sent.
//
// In: requests, and the names that may have changed. Out: the most urgent response to send now. No I/O, no clock and no goroutine: time is an argument. Delta and
// state-of-the-world share it. A Session belongs to one goroutine at a time. The scripts in xds/testdata are its specification.
package session

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/heddle-mesh/heddle/xds"
)

// Patience is how long the order on the wire waits for an acknowledgement before it goes on without.
const Patience = 5 * time.Second

// Session is one client's protocol state. Make it with New.
type Session struct {
	mode   Mode
	judge  Judge
	kinds  map[string]*kind
	order  []*kind // by rank, then by type URL
	nonces uint64
	// making holds what the client was sent for the first time and does not confirm yet (clusters, then their endpoints), since when. Listeners and routes wait for it.
	making   map[xds.Name]time.Time
	crowded  bool            // making held many
	relieved []*xds.Resource // see Relieved
}

// New starts a session. judge may be nil: nothing is known of any version.
func New(mode Mode, judge Judge) *Session {
	if judge == nil {
		judge = func(*xds.Resource) (Standing, *xds.Resource) { return Clear, nil }
	}
	return &Session{mode: mode, judge: judge, kinds: map[string]*kind{}, making: map[xds.Name]time.Time{}}
}

// Mode is the form of the protocol that the client speaks.
func (s *Session) Mode() Mode { return s.mode }

// Changed says that a resource may differ now, for everybody or (variant not nil) for those who were last given that variant. With an empty name the list of names
// of the type may differ. It costs nothing when the client has no such subscription.
func (s *Session) Changed(n xds.Name, variant *xds.Resource) {
	k := s.kinds[n.TypeURL]
	if k == nil {
		return
	}
	if n.Name == "" {
		k.relist = k.relist || k.wildcard
		return
	}
	if e := k.entries[n.Name]; e != nil && (variant == nil || e.seen == variant) {
		k.dirty[n.Name] = struct{}{}
	}
}

// ChangedAll says that anything may differ now.
func (s *Session) ChangedAll() {
	for _, k := range s.order {
		k.relist = k.wildcard
		for name := range k.entries {
			k.dirty[name] = struct{}{}
		}
	}
}

func (s *Session) kind(url string) *kind {
	k := s.kinds[url]
	if k == nil {
		k = newKind(url, s.mode)
		s.kinds[url] = k
		s.order = append(s.order, k)
		slices.SortFunc(s.order, func(a, b *kind) int {
			if a.rank != b.rank {
				return a.rank - b.rank
			}
			return strings.Compare(a.url, b.url)
		})
	}
	return k
}

func (s *Session) nextNonce() string {
	s.nonces++
	return strconv.FormatUint(s.nonces, 36)
}

// hold records what the client has been told to hold: r, or nothing. It follows what hangs on it.
func (s *Session) hold(k *kind, e *entry, r *xds.Resource) {
	before := e.sent
	k.account(e, r)
	if k.url == xds.Route && (before == nil) != (r == nil) {
		s.routeHeld(e.name, r != nil)
	}
	if r == nil {
		delete(s.making, xds.Name{TypeURL: k.url, Name: e.name})
	}
}

// routeHeld keeps virtual hosts in step with their route configuration: a client that is given the configuration anew has none of its hosts, and the hosts of one
// that it gave up are not its business. The subscription to hosts is answered again, because a new configuration waits for the first answer (Envoy).
func (s *Session) routeHeld(route string, held bool) {
	k := s.kinds[xds.VirtualHost]
	if k == nil {
		return
	}
	for name, e := range k.entries {
		if r, ok := xds.RouteOf(name); !ok || r != route {
			continue
		}
		switch {
		case held && e.sent != nil:
			k.owe(name)
		case !held && e.explicit:
			k.account(e, nil)
			e.good = nil
		case !held:
			s.forget(k, e)
		}
	}
	delete(k.unheard, route)
	if held && k.wildcard {
		k.relist, k.answer = true, true
		k.unheard[route] = struct{}{}
	}
}

// awaitHosts notes, at the beginning of a subscription to all virtual hosts, that every route configuration that the client holds waits for an answer about its own.
func (s *Session) awaitHosts(k *kind) {
	routes := s.kinds[xds.Route]
	if k.rank != rankVirtualHost || routes == nil {
		return
	}
	for name, e := range routes.entries {
		if e.sent != nil {
			k.unheard[name] = struct{}{}
		}
	}
}

// forget drops all that is known of a name that the client is no longer subscribed to.
func (s *Session) forget(k *kind, e *entry) {
	s.hold(k, e, nil)
	delete(k.entries, e.name)
	delete(k.dirty, e.name)
	delete(k.owed, e.name)
	delete(k.gone, e.name)
	delete(k.refused, e.name)
}
