// Package status tells users how their objects fare: it writes conditions into the objects, seldom and only when something changed.
//
// In: what translation said of each object, and what is found out later (a proxy that rejects, a compiler that leaves something out). Out: writes through a
// Writer, or log lines where there is none, and a report for /debug. A Board is safe for concurrent use.
package status

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/config"
	"github.com/heddle-mesh/heddle/control/translate"
	"github.com/heddle-mesh/heddle/control/translate/condition"
	"github.com/heddle-mesh/heddle/mesh"
)

// Writer writes the status field of an object, which is the one that the status was made from. Its errors may be config.ErrStale and config.ErrGone.
type Writer interface {
	WriteStatus(ctx context.Context, o api.Object, status map[string]any) error
}

// Objects is where the present objects are read.
type Objects interface {
	Get(ref api.Ref) (*config.Entry, bool)
}

// How often is written.
const (
	coalesce  = time.Second     // changes of this time make one write
	perSecond = 20              // writes, at most
	retry     = 5 * time.Second // after an error of the API
)

// told is what is known of one object.
type told struct {
	problems []mesh.Problem
	status   *condition.Status
}

// Board holds what is known and what is yet to be written.
type Board struct {
	objects Objects
	log     *slog.Logger
	now     func() time.Time

	mu    sync.Mutex
	told  map[mesh.Ref]told
	extra map[string]map[mesh.Ref][]mesh.Problem
	dirty map[mesh.Ref]struct{}
	said  map[mesh.Problem]struct{} // logged already
	wake  chan struct{}
}

// New makes a board.
func New(objects Objects, log *slog.Logger) *Board {
	return &Board{objects: objects, log: log, now: time.Now, told: map[mesh.Ref]told{}, extra: map[string]map[mesh.Ref][]mesh.Problem{},
		dirty: map[mesh.Ref]struct{}{}, said: map[mesh.Problem]struct{}{}, wake: make(chan struct{}, 1)}
}

// Tell takes what translation says of an object. Without problems and status it is forgotten.
func (b *Board) Tell(ref mesh.Ref, problems []mesh.Problem, s *condition.Status) {
	b.mu.Lock()
	defer b.mu.Unlock()
	old := b.told[ref].problems
	if len(problems) == 0 && s == nil {
		delete(b.told, ref)
	} else {
		b.told[ref] = told{problems, s}
	}
	b.logNew(old, problems)
	b.mark(ref)
}

// Extra takes all that one source says of objects beside translation, in place of what it said before.
func (b *Board) Extra(source string, problems []mesh.Problem) {
	by := map[mesh.Ref][]mesh.Problem{}
	for _, p := range problems {
		by[p.Object] = append(by[p.Object], p)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	old := b.extra[source]
	for ref, ps := range by {
		if !slices.Equal(old[ref], ps) {
			b.logNew(old[ref], ps)
			b.mark(ref)
		}
	}
	for ref := range old {
		if by[ref] == nil {
			b.logNew(old[ref], nil)
			b.mark(ref)
		}
	}
	b.extra[source] = by
}

// logNew says each problem once, and again only after it was gone.
func (b *Board) logNew(old, now []mesh.Problem) {
	for _, p := range old {
		if !slices.Contains(now, p) {
			delete(b.said, p)
		}
	}
	for _, p := range now {
		if _, ok := b.said[p]; !ok {
			b.said[p] = struct{}{}
			b.log.Warn("problem", "object", p.Object.String(), "field", p.Field, "code", string(p.Code), "message", p.Message, "hint", p.Hint)
		}
	}
}

func (b *Board) mark(ref mesh.Ref) {
	b.dirty[ref] = struct{}{}
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// Problems lists everything that is wrong, ordered by object.
func (b *Board) Problems() (out []mesh.Problem) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, ref := range slices.SortedFunc(maps.Keys(b.known()), mesh.CompareRef) {
		out = append(out, b.problems(ref)...)
	}
	return out
}

// known are the objects of which something is known.
func (b *Board) known() map[mesh.Ref]struct{} {
	refs := map[mesh.Ref]struct{}{}
	for ref := range b.told {
		refs[ref] = struct{}{}
	}
	for _, by := range b.extra {
		for ref := range by {
			refs[ref] = struct{}{}
		}
	}
	return refs
}

func (b *Board) problems(ref mesh.Ref) []mesh.Problem {
	out := slices.Clone(b.told[ref].problems)
	for _, source := range slices.Sorted(maps.Keys(b.extra)) {
		out = append(out, b.extra[source][ref]...)
	}
	return out
}

// Conditions gives every object's status as it should be, for /debug.
func (b *Board) Conditions() map[string]*condition.Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := map[string]*condition.Status{}
	for ref := range b.known() {
		if e, ok := b.objects.Get(ref); ok {
			if s := b.wanted(ref, e.Object); s != nil {
				out[ref.String()] = s
			}
		}
	}
	return out
}

// wanted is the whole status of an object, with what was found out beside translation.
func (b *Board) wanted(ref mesh.Ref, o api.Object) *condition.Status {
	t := b.told[ref]
	if o.Kind.Conditioned() {
		problems := b.problems(ref)
		if len(problems) == 0 && find(o.Status["conditions"], field("type"), condition.CoreEnforced) == nil {
			return nil // nothing was said before, and there is nothing to say
		}
		s := condition.Core(problems)
		return &s
	}
	if t.status == nil {
		return nil
	}
	if o.Kind.Istio() {
		s := translate.Status(o, b.problems(ref))
		s.Addresses, s.Assigned = t.status.Addresses, t.status.Assigned
		return s
	}
	late := b.problems(ref)[len(t.problems):]
	if len(late) == 0 {
		return t.status
	}
	return withProgrammed(*t.status, late)
}

// withProgrammed says in the Gateway API's words that something valid has not come into effect everywhere.
func withProgrammed(s condition.Status, late []mesh.Problem) *condition.Status {
	message := condition.Sentences(late)
	change := func(list []condition.Condition) []condition.Condition {
		if len(list) == 0 {
			return nil
		}
		c := condition.Condition{Type: "Programmed", Status: "False", Reason: "Invalid", Message: message, ObservedGeneration: list[0].ObservedGeneration}
		out := slices.DeleteFunc(slices.Clone(list), func(x condition.Condition) bool { return x.Type == c.Type })
		return append(out, c)
	}
	s.Conditions = change(s.Conditions)
	s.Parents = slices.Clone(s.Parents)
	for i := range s.Parents {
		s.Parents[i].Conditions = change(s.Parents[i].Conditions)
	}
	return &s
}

// Run writes until ctx ends. Everything known is looked at first, so a replica that becomes the leader corrects what the one before left.
func (b *Board) Run(ctx context.Context, w Writer) error {
	limit := rate.NewLimiter(perSecond, 1)
	b.mu.Lock()
	for ref := range b.told {
		b.mark(ref)
	}
	b.mu.Unlock()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-b.wake:
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(coalesce):
		}
		for _, ref := range b.take() {
			if err := b.write(ctx, w, limit, ref); err != nil {
				return nil // ctx ended
			}
		}
	}
}

func (b *Board) take() []mesh.Ref {
	b.mu.Lock()
	defer b.mu.Unlock()
	refs := slices.SortedFunc(maps.Keys(b.dirty), mesh.CompareRef)
	clear(b.dirty)
	return refs
}

// write brings one object's status up to date; its error is that of ctx.
func (b *Board) write(ctx context.Context, w Writer, limit *rate.Limiter, ref mesh.Ref) error {
	e, ok := b.objects.Get(ref)
	if !ok {
		return nil
	}
	b.mu.Lock()
	s := b.wanted(ref, e.Object)
	b.mu.Unlock()
	if s == nil {
		return nil
	}
	doc, changed := document(s, e.Object.Status, b.now())
	if !changed {
		return nil
	}
	if err := limit.Wait(ctx); err != nil {
		return err
	}
	err := w.WriteStatus(ctx, e.Object, doc)
	pause := retry
	switch {
	case err == nil || errors.Is(err, config.ErrGone):
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, config.ErrStale):
		pause = 100 * time.Millisecond
	default:
		b.log.Warn("status is not written; trying again", "object", ref.String(), "error", err)
	}
	time.AfterFunc(pause, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.mark(ref)
	})
	return nil
}
