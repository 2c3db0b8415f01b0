package session

import (
	"slices"
	"strings"
	"time"

	"github.com/heddle-mesh/heddle/xds"
)

// answered reads the acknowledgement or refusal in a request. Responses are answered in order: an answer settles those before it as accepted.
func (s *Session) answered(k *kind, now time.Time, req Request) (out Outcome) {
	if req.Nonce == "" {
		return out
	}
	at := slices.IndexFunc(k.flights, func(f flight) bool { return f.nonce == req.Nonce })
	if at < 0 {
		if req.Nonce != k.ackNonce && req.Nonce != k.nackNonce {
			out.Answer = Expired
		}
		return out
	}
	last := k.flights[at]
	for range at {
		f := k.flights[0]
		k.flights = k.flights[1:]
		s.accepted(k, f, &out)
	}
	k.flights = slices.Clone(k.flights[1:])
	out.SentAt = last.at
	if !req.Rejected {
		out.Answer = Ack
		k.ackNonce, k.ackAt, k.nackText = req.Nonce, now, ""
		s.accepted(k, last, &out)
		return out
	}
	out.Answer = Nack
	k.nackNonce, k.nackText = req.Nonce, req.Error
	s.refusedBatch(k, now, last, req.Error, &out)
	return out
}

func (s *Session) accepted(k *kind, f flight, out *Outcome) {
	for _, r := range f.items {
		e := k.entries[r.Name.Name]
		leaving := k.leaving(r)
		if e == nil || e.sent == nil {
			if !leaving {
				s.straggler(k, e, r)
			}
			continue
		}
		if e.good == nil || e.good.Version != r.Version {
			out.Accepted = append(out.Accepted, r)
		}
		e.good = r
		since, ok := s.making[r.Name]
		if !ok {
			continue
		}
		delete(s.making, r.Name)
		for _, n := range r.Needs {
			if !s.confirmed(n) {
				s.making[n] = since
			}
		}
	}
}

// leaving says that a later response removes what was accepted just now, and notes there that it was accepted.
func (k *kind) leaving(r *xds.Resource) (found bool) {
	for _, f := range k.flights {
		if _, ok := f.removed[r.Name.Name]; ok {
			f.removed[r.Name.Name] = r
			found = true
		}
	}
	return found
}

// straggler handles a resource that was on its way while the client gave its name up and then subscribed anew: it holds it now. A virtual host is not held: the client
// had no route configuration for it when it came.
func (s *Session) straggler(k *kind, e *entry, r *xds.Resource) {
	if k.rank == rankVirtualHost || e == nil && !k.wildcard {
		return
	}
	if e == nil {
		e = k.entry(r.Name.Name)
	}
	e.good = r
	s.hold(k, e, r)
	k.dirty[e.name] = struct{}{}
}

func (s *Session) confirmed(n xds.Name) bool {
	if k := s.kinds[n.TypeURL]; k != nil {
		if e := k.entries[n.Name]; e != nil {
			return e.good != nil
		}
	}
	return false
}

// refusedBatch isolates what made the client refuse: by the names in its error, by what was new in the response, or by sending the halves one after the other.
func (s *Session) refusedBatch(k *kind, now time.Time, f flight, text string, out *Outcome) {
	suspects, known, forgotten := k.suspects(f)
	if s.mode == Delta {
		for _, r := range known {
			k.owe(r.Name.Name) // it was sent again for a reason
		}
	}
	if len(suspects) == 0 {
		out.Unexplained = text // nothing in it that the client still wants could be at fault
		if len(f.items) > 0 {
			s.restore(k, now, f.removed)
		}
		return
	}
	culprits := blame(suspects, text)
	other := len(culprits) == 0 && len(blame(forgotten, text)) > 0
	if len(culprits) == 0 && len(suspects) == 1 && len(forgotten) == 0 {
		culprits = suspects
	}
	later := k.underway()
	for _, r := range suspects {
		e := k.entries[r.Name.Name]
		if k.url == xds.Route && e.good == nil && e.sent != nil && e.sent != r {
			s.routeHeld(e.name, true) // hosts that were sent before the next attempt had nowhere to go
		}
		if _, ok := later[e.name]; ok && !slices.Contains(culprits, r) {
			continue // it was sent again since then, and that has its own answer
		}
		delete(s.making, r.Name)
		if slices.Contains(culprits, r) {
			k.refused[e.name] = r.Version
			out.Rejected = append(out.Rejected, Rejection{Resource: r, Error: text, Good: e.good})
			if _, ok := later[e.name]; !ok && e.sent == r {
				s.hold(k, e, e.good)
			}
			k.dirty[e.name] = struct{}{}
			continue
		}
		s.again(k, e, r)
	}
	s.restore(k, now, f.removed)
	if len(culprits) > 0 {
		return
	}
	out.Unexplained = text
	if other || len(suspects) == 1 {
		return // they travel once more
	}
	var names []string
	for _, r := range suspects {
		if _, ok := later[r.Name.Name]; !ok {
			names = append(names, r.Name.Name)
		}
	}
	slices.Sort(names)
	half := len(names) / 2
	k.trials = slices.Insert(k.trials, 0, names[:half:half], names[half:])
}

// suspects are the resources of a refused response that may be at fault: what was new in it, else all of it. What the client holds already in this version is
// known, what it gave up meanwhile is forgotten.
func (k *kind) suspects(f flight) (suspects, known, forgotten []*xds.Resource) {
	for _, r := range f.items {
		e := k.entries[r.Name.Name]
		switch {
		case e == nil:
			forgotten = append(forgotten, r)
		case e.good != nil && e.good.Version == r.Version:
			known = append(known, r)
		default:
			suspects = append(suspects, r)
		}
	}
	if len(suspects) == 0 && len(forgotten) == 0 {
		suspects, known = known, nil
	}
	return suspects, known, forgotten
}

// underway is the names that open responses carry.
func (k *kind) underway() map[string]struct{} {
	names := map[string]struct{}{}
	for _, f := range k.flights {
		for _, r := range f.items {
			names[r.Name.Name] = struct{}{}
		}
	}
	return names
}

// again makes a resource of a refused response travel once more.
func (s *Session) again(k *kind, e *entry, r *xds.Resource) {
	if e.sent == r {
		if e.good != nil && e.good.Version == r.Version {
			k.owe(e.name)
			return
		}
		s.hold(k, e, e.good)
	}
	k.dirty[e.name] = struct{}{}
}

// restore takes back the removals of a refused response.
func (s *Session) restore(k *kind, now time.Time, removed map[string]*xds.Resource) {
	for name, good := range removed {
		e := k.entries[name]
		if good == nil || e != nil && e.sent != nil || e == nil && !k.wildcard {
			continue
		}
		if e == nil {
			e = k.entry(name)
		}
		e.good = good
		s.hold(k, e, good)
		k.leave(e, now)
	}
}

// blame finds the resources whose name stands by itself in the error text.
func blame(suspects []*xds.Resource, text string) (culprits []*xds.Resource) {
	for _, r := range suspects {
		if mentions(text, r.Name.Name) {
			culprits = append(culprits, r)
		}
	}
	return culprits
}

// mentions says whether the name stands in the text and is not part of a longer name.
func mentions(text, name string) bool {
	for from := 0; name != ""; {
		i := strings.Index(text[from:], name)
		if i < 0 {
			return false
		}
		start, end := from+i, from+i+len(name)
		if (start == 0 || !partOfName(text, start-1, -1)) && (end == len(text) || !partOfName(text, end, 1)) {
			return true
		}
		from = start + 1
	}
	return false
}

// partOfName says whether the byte beside a match continues the name. A dot, colon, dash or slash does so only if more of a name follows it.
func partOfName(text string, at, step int) bool {
	c := text[at]
	if c == '_' || c == '|' || alphanumeric(c) {
		return true
	}
	if c != '.' && c != ':' && c != '-' && c != '/' {
		return false
	}
	next := at + step
	return next >= 0 && next < len(text) && (text[next] == '|' || text[next] == '_' || alphanumeric(text[next]))
}

func alphanumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c >= 0x80
}
