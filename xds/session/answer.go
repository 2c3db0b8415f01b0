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
	done := k.flights[:at]
	last := k.flights[at]
	k.flights = slices.Clone(k.flights[at+1:])
	for _, f := range done {
		s.accepted(k, f, &out)
	}
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
		if e == nil {
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
	var suspects []*xds.Resource
	for _, r := range f.items {
		if e := k.entries[r.Name.Name]; e != nil && (e.good == nil || e.good.Version != r.Version) {
			suspects = append(suspects, r)
		}
	}
	if len(suspects) == 0 {
		suspects = slices.DeleteFunc(slices.Clone(f.items), func(r *xds.Resource) bool { return k.entries[r.Name.Name] == nil })
	}
	if len(suspects) == 0 {
		out.Unexplained = text // nothing in it could be at fault, and sending it again would not help
		return
	}
	culprits := blame(suspects, text)
	if len(culprits) == 0 && len(suspects) == 1 {
		culprits = suspects
	}
	for _, r := range suspects {
		e := k.entries[r.Name.Name]
		delete(s.making, r.Name)
		if slices.Contains(culprits, r) {
			e.refused = r.Version
			out.Rejected = append(out.Rejected, Rejection{Resource: r, Error: text})
			if e.sent == r {
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
	names := make([]string, len(suspects))
	for i, r := range suspects {
		names[i] = r.Name.Name
	}
	slices.Sort(names)
	half := len(names) / 2
	k.trials = slices.Insert(k.trials, 0, names[:half:half], names[half:])
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
func (s *Session) restore(k *kind, now time.Time, removed []*xds.Resource) {
	for _, r := range removed {
		e := k.entry(r.Name.Name)
		if e.sent != nil {
			continue
		}
		s.hold(k, e, r)
		e.good = r
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
