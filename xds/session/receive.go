package session

import (
	"slices"
	"time"

	"github.com/heddle-mesh/heddle/xds"
)

// wildcardName subscribes to the type's whole list.
const wildcardName = "*"

// Receive takes a request. What it makes necessary is found by Next.
func (s *Session) Receive(now time.Time, req Request) Outcome {
	k := s.kind(req.TypeURL)
	out := s.answered(k, now, req)
	first := !k.subscribed
	k.subscribed = true
	before := k.wildcard
	if s.mode == Delta {
		s.subscribeDelta(k, req, first, &out)
	} else {
		s.subscribeWorld(k, req, first, &out)
	}
	out.Wildcard = k.wildcard
	if k.wildcard && !before {
		k.relist, k.answer = true, true
		s.awaitHosts(k)
	}
	if !k.wildcard && before {
		s.leaveWildcard(k)
	}
	return out
}

// subscribeDelta obeys "How the client specifies what resources to return" of the xDS protocol for the incremental form.
func (s *Session) subscribeDelta(k *kind, req Request, first bool, out *Outcome) {
	if first {
		for name, version := range req.Initial {
			r := &xds.Resource{Name: xds.Name{TypeURL: k.url, Name: name}, Version: version}
			e := k.entry(name)
			e.good = r
			s.hold(k, e, r)
		}
		k.fresh = len(req.Initial) == 0
		if len(req.Subscribe) == 0 && !byNameOnly(k.url) {
			k.wildcard, k.legacy = true, true
		}
	}
	for _, name := range req.Subscribe {
		if name == wildcardName {
			k.wildcard, k.answer = true, true
			continue
		}
		s.subscribe(k, name, out)
		if first && k.entries[name].sent != nil {
			k.dirty[name], k.answer = struct{}{}, true // the client holds a version of it: only a difference is sent
			continue
		}
		k.owe(name)
	}
	for _, name := range req.Unsubscribe {
		if name == wildcardName {
			k.wildcard = false
			continue
		}
		s.unsubscribe(k, name, out)
	}
	if first && !k.wildcard {
		for _, e := range k.entries {
			if !e.explicit {
				s.forget(k, e)
			}
		}
	}
}

// subscribeWorld obeys the state-of-the-world form: every request names all that is wanted.
func (s *Session) subscribeWorld(k *kind, req Request, first bool, out *Outcome) {
	star := slices.Contains(req.Names, wildcardName)
	switch {
	case star:
		k.wildcard, k.legacy = true, false
	case first && len(req.Names) == 0 && !byNameOnly(k.url):
		k.wildcard, k.legacy = true, true
	case len(req.Names) > 0 || !k.legacy:
		k.wildcard = false
	}
	k.fresh = k.fresh || first
	wanted := make(map[string]struct{}, len(req.Names))
	for _, name := range req.Names {
		if name == wildcardName {
			continue
		}
		wanted[name] = struct{}{}
		if e := k.entries[name]; e == nil || !e.explicit {
			s.subscribe(k, name, out)
			k.owe(name)
			k.answer = true
		}
	}
	for name, e := range k.entries {
		if _, ok := wanted[name]; e.explicit && !ok {
			s.unsubscribe(k, name, out)
		}
	}
	if k.named == 0 && !k.wildcard { // a client that wants nothing more of the type does not answer what is on its way (gRPC in Java)
		k.flights, k.answer = nil, false
	}
	slices.Sort(out.Unsubscribed)
}

func (s *Session) subscribe(k *kind, name string, out *Outcome) {
	if e := k.entry(name); !e.explicit {
		e.explicit = true
		k.named++
		out.Subscribed = append(out.Subscribed, name)
	}
}

// unsubscribe forgets the name; one that the wildcard covers is sent again, so that the client knows where it stands (xDS protocol, "Unsubscribing from resources").
func (s *Session) unsubscribe(k *kind, name string, out *Outcome) {
	e := k.entries[name]
	if e == nil || !e.explicit {
		return
	}
	e.explicit = false
	k.named--
	out.Unsubscribed = append(out.Unsubscribed, name)
	if !k.wildcard {
		s.forget(k, e)
		return
	}
	k.relist = true
	k.dirty[name] = struct{}{}
	if s.mode == Delta {
		k.owe(name)
	}
}

func (s *Session) leaveWildcard(k *kind) {
	k.relist = false
	for _, e := range k.entries {
		e.listed = false
		if !e.explicit {
			s.forget(k, e)
		}
	}
}
