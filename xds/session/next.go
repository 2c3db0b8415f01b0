package session

import (
	"maps"
	"slices"
	"time"

	"github.com/heddle-mesh/heddle/xds"
)

// Next is the most urgent response to send now: upstreams, endpoints, listeners, routes and virtual hosts (make), then removals once the additions are confirmed
// (break). budget bounds the bytes of resources in one delta response (and of a partial state-of-the-world one); at least one resource travels. False means that there
// is nothing to send before a request, a change or the time that Wake tells.
func (s *Session) Next(now time.Time, src Source, budget int) (Response, bool) {
	maps.DeleteFunc(s.making, func(_ xds.Name, since time.Time) bool { return !now.Before(since.Add(Patience)) })
	if len(s.making) == 0 && s.crowded { // maps do not shrink by themselves
		s.making, s.crowded = map[xds.Name]time.Time{}, false
	}
	for _, k := range s.order {
		s.refresh(k, src)
		if len(k.dirty) == 0 && !k.answer {
			k.since = time.Time{}
		} else if k.since.IsZero() {
			k.since = now
		}
	}
	for _, k := range s.order {
		if !k.subscribed || len(k.dirty) == 0 && !k.answer || k.waiting(now) {
			continue
		}
		if r, ok := s.additions(k, now, src, budget); ok {
			return r, true
		}
	}
	for _, k := range s.removalOrder() {
		if len(k.gone) == 0 || k.waiting(now) {
			continue
		}
		if r, ok := s.removals(k, now); ok {
			return r, true
		}
	}
	return Response{}, false
}

// refresh reads the type's list again if it may have changed.
func (s *Session) refresh(k *kind, src Source) {
	if !k.relist {
		return
	}
	k.relist = false
	k.listing++
	for name := range src.Names(k.url) {
		if !s.listable(k, name) {
			continue
		}
		e := k.entry(name)
		if !e.listed {
			e.listed = true
			k.dirty[name] = struct{}{}
		}
		e.mark = k.listing
	}
	for name, e := range k.entries {
		if e.mark != k.listing && s.listable(k, name) {
			if e.listed || e.sent != nil {
				k.dirty[name] = struct{}{}
			}
			e.listed = false
		}
	}
}

// listable says whether the name concerns the client: a virtual host does only while the client holds its route configuration.
func (s *Session) listable(k *kind, name string) bool {
	if k.rank != rankVirtualHost {
		return true
	}
	route, ok := xds.RouteOf(name)
	if !ok {
		return true
	}
	routes := s.kinds[xds.Route]
	if routes == nil {
		return false
	}
	e := routes.entries[route]
	return e != nil && e.sent != nil
}

// want is what the client should hold under a name; nil for nothing. A version that it refused is replaced by the last good one.
func (s *Session) want(k *kind, e *entry, src Source) *xds.Resource {
	if !e.explicit && !e.listed {
		return nil
	}
	r, ok := src.Resource(xds.Name{TypeURL: k.url, Name: e.name})
	if !ok {
		e.seen = nil
		s.relieve(k, e, &xds.Resource{Name: xds.Name{TypeURL: k.url, Name: e.name}})
		return nil
	}
	e.seen = r
	if e.sent != nil && e.sent.Version == r.Version {
		s.relieve(k, e, r)
	}
	if r.Version == k.refused[e.name] {
		return e.good
	}
	if standing, good := s.judge(r); standing == Refused {
		if e.good == nil {
			return good
		}
		return e.good
	}
	return r
}

// relieve notes that a version which the client refused is wanted no more, and that there is nothing to send in its place: no answer will say so.
func (s *Session) relieve(k *kind, e *entry, r *xds.Resource) {
	if v := k.refused[e.name]; v != "" && v != r.Version {
		delete(k.refused, e.name)
		s.relieved = append(s.relieved, r)
	}
}

// Relieved gives, once, the resources of which the client holds what it should again without having been sent anything.
func (s *Session) Relieved() []*xds.Resource {
	out := s.relieved
	s.relieved = nil
	return out
}

// pick is what one response will hold.
type pick struct {
	adds    []*xds.Resource
	removed []string // removals that travel with the additions
	size    int
}

func (p *pick) has(name string) bool {
	return slices.ContainsFunc(p.adds, func(r *xds.Resource) bool { return r.Name.Name == name }) || slices.Contains(p.removed, name)
}

// additions looks at what is dirty and makes a response of what must be sent of it.
func (s *Session) additions(k *kind, now time.Time, src Source, budget int) (Response, bool) {
	blocked := s.blocked(k, now)
	var p pick
	full := false
	for names := k.batch(blocked); len(names) > 0; names = k.batch(blocked) {
		for _, name := range names {
			if full = p.size >= budget && !k.full; full {
				break
			}
			s.consider(&p, k, name, now, src)
		}
		if len(k.trials) == 0 || blocked || len(p.adds) > 0 || len(p.removed) > 0 {
			break // else nothing of the trial was left to send: on to the next
		}
	}
	s.takeovers(&p, k, now, src)
	if len(p.adds) > 0 || len(p.removed) > 0 {
		return s.send(k, now, p), true
	}
	if k.answer && !full && (len(k.dirty) == 0 || !blocked) && len(k.trials) == 0 {
		return s.send(k, now, p), true
	}
	return Response{}, false
}

// batch is the names to look at, in order: a trial if there is one, only what the client waits for if the type is blocked, else all that is dirty.
func (k *kind) batch(blocked bool) []string {
	if blocked {
		return slices.Sorted(maps.Keys(k.owed))
	}
	for len(k.trials) > 0 {
		names := slices.DeleteFunc(slices.Clone(k.trials[0]), func(n string) bool { _, ok := k.dirty[n]; return !ok })
		if len(names) > 0 {
			return names
		}
		k.trials = k.trials[1:]
	}
	return slices.Sorted(maps.Keys(k.dirty))
}

// consider decides about one dirty name: clean, to be sent, or gone.
func (s *Session) consider(p *pick, k *kind, name string, now time.Time, src Source) {
	e := k.entries[name]
	if e == nil {
		k.settle(name)
		return
	}
	_, owed := k.owed[name]
	w := s.want(k, e, src)
	switch {
	case w == nil:
		k.settle(name)
		s.missing(p, k, e, owed, now)
	case e.sent != nil && w.Version == e.sent.Version && !owed:
		k.settle(name)
		s.same(k, e, w)
	case w.Body == nil: // only its version is known; the client holds it
		k.settle(name)
		k.answer = true
	default:
		if len(k.trials) == 0 && (e.good == nil || e.good.Version != w.Version) && s.suspect(w) {
			k.trials = append(k.trials, []string{name})
			return
		}
		delete(k.gone, name)
		p.adds = append(p.adds, w)
		p.size += len(w.Body) + len(name)
	}
}

func (s *Session) suspect(r *xds.Resource) bool {
	standing, _ := s.judge(r)
	return standing == Suspect
}

// same replaces what is held by an equal version, whose bytes may not have been known.
func (s *Session) same(k *kind, e *entry, w *xds.Resource) {
	if e.good != nil && e.good.Version == w.Version && w.Body != nil {
		e.good = w
	}
	if w.Body != nil && e.sent != w {
		k.account(e, w)
	}
	delete(k.gone, e.name)
}

// missing handles a name without a resource: a client that waits for it is told at once, one that holds it is told in its turn.
func (s *Session) missing(p *pick, k *kind, e *entry, owed bool, now time.Time) {
	switch {
	case s.mode == StateOfTheWorld && !k.full:
		if e.sent != nil {
			s.hold(k, e, nil) // absence cannot be said; if it comes back it is sent
			e.good = nil
		}
		k.answer = k.answer || owed
	case owed && e.explicit:
		if s.mode == Delta {
			p.removed = append(p.removed, e.name)
		}
		k.answer = true
		if e.sent == nil {
			return
		}
		k.leave(e, now) // send takes it out
	case e.sent != nil:
		k.leave(e, now)
		return
	}
	if !e.explicit && !e.listed && e.sent == nil {
		s.forget(k, e)
	}
}

func (k *kind) leave(e *entry, now time.Time) {
	if _, ok := k.gone[e.name]; !ok {
		k.gone[e.name] = now
	}
}

// takeovers adds to the response whoever holds a claim that it hands over, or every removal of the type if claims are not known.
func (s *Session) takeovers(p *pick, k *kind, now time.Time, src Source) {
	if !k.claimed() || len(p.adds) == 0 {
		return
	}
	unknown, handed := k.bare > 0, k.handed(p)
	for i := 0; i < len(p.adds); i++ { // grows while it runs
		unknown = unknown || p.adds[i].Claims == nil
		for _, c := range p.adds[i].Claims {
			slices.Sort(handed[c]) // one, as good as ever
			for _, holder := range handed[c] {
				s.handOver(p, k, holder, now, src)
			}
		}
	}
	if !unknown {
		return
	}
	for name := range k.dirty {
		if e := k.entries[name]; e != nil && e.sent != nil && s.want(k, e, src) == nil {
			s.consider(p, k, name, now, src)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(k.gone)) {
		if !p.has(name) {
			p.removed = append(p.removed, name)
		}
	}
}

// handed is who holds which claim that may pass to another: only what is dirty or gone gives one up. Nobody keeps this for all that a client holds, because that would be most of what
// the client costs.
func (k *kind) handed(p *pick) map[string][]string {
	out, travels := map[string][]string{}, map[string]bool{}
	for _, r := range p.adds {
		travels[r.Name.Name] = true
	}
	note := func(name string) {
		e := k.entries[name]
		if e == nil || e.sent == nil || travels[name] {
			return
		}
		for _, c := range e.sent.Claims {
			if !slices.Contains(out[c], name) {
				out[c] = append(out[c], name)
			}
		}
	}
	for name := range k.dirty {
		note(name)
	}
	for name := range k.gone {
		note(name)
	}
	return out
}

// handOver lets a holder of a claim travel with what takes it over: changed, or removed.
func (s *Session) handOver(p *pick, k *kind, holder string, now time.Time, src Source) {
	if p.has(holder) {
		return
	}
	if _, dirty := k.dirty[holder]; dirty {
		s.consider(p, k, holder, now, src)
	}
	if _, gone := k.gone[holder]; gone && !p.has(holder) {
		p.removed = append(p.removed, holder)
	}
}

// send makes the response of what was picked, and takes it as held by the client from here on.
func (s *Session) send(k *kind, now time.Time, p pick) Response {
	f := flight{nonce: s.nextNonce(), at: now, items: p.adds, removed: map[string]*xds.Resource{}}
	for _, name := range p.removed {
		if e := k.entries[name]; e != nil && e.sent != nil {
			f.removed[name] = e.good
			s.hold(k, e, nil)
			e.good = nil
			if !e.explicit && !e.listed {
				s.forget(k, e)
			}
		}
	}
	for _, r := range p.adds {
		s.place(k, now, r)
	}
	if k.full {
		f.items = k.world()
	}
	k.flights = append(k.flights, f)
	k.answer = !k.told(p)
	if len(k.dirty) == 0 {
		k.fresh = false
		if len(p.adds) > 64 { // maps do not shrink by themselves
			k.dirty, k.owed = map[string]struct{}{}, map[string]struct{}{}
		}
	}
	k.sentNonce, k.sentAt = f.nonce, now
	out := Response{Mode: s.mode, TypeURL: k.url, Version: k.version(), Nonce: f.nonce, Resources: f.items}
	if s.mode == Delta {
		out.Removed = p.removed
	}
	for _, r := range out.Resources {
		out.Size += len(r.Body)
	}
	return out
}

// place records one resource as sent, and what it makes necessary.
func (s *Session) place(k *kind, now time.Time, r *xds.Resource) {
	e := k.entries[r.Name.Name]
	if k.rank == rankCluster && e.sent == nil && e.good == nil {
		s.making[r.Name] = now
		s.crowded = s.crowded || len(s.making) > 64
	}
	k.settle(e.name)
	s.hold(k, e, r)
	if k.rank == rankCluster {
		s.endpointsAgain(r)
	}
}

// endpointsAgain owes the client the endpoints of a cluster that it is sent: it keeps a changed cluster warming until they come again, even with the same bytes (Envoy 1.40).
func (s *Session) endpointsAgain(r *xds.Resource) {
	needs := r.Needs
	if needs == nil {
		needs = []xds.Name{{TypeURL: xds.Endpoints, Name: r.Name.Name}}
	}
	for _, n := range needs {
		k := s.kinds[n.TypeURL]
		if k == nil {
			continue
		}
		if e := k.entries[n.Name]; e != nil && e.sent != nil {
			k.owe(n.Name)
		}
	}
}

// world is all that the client holds of the type, in order.
func (k *kind) world() []*xds.Resource {
	var all []*xds.Resource
	for _, name := range slices.Sorted(maps.Keys(k.entries)) {
		if r := k.entries[name].sent; r != nil {
			all = append(all, r)
		}
	}
	return all
}
