package report

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"

	"github.com/heddle-mesh/heddle/data/proxy/stream"
	"github.com/heddle-mesh/heddle/telemetry/tap"
)

// What each worker remembers of its latest requests, and of those that failed, which would else be pushed out by the others.
const (
	keptRecent = 128
	keptFailed = 64
)

// recent are the latest requests of one worker, without their headers. The worker writes, pages read: the lock is nearly always free.
type recent struct {
	mu     sync.Mutex
	all    ring
	failed ring
	_      [64]byte // of one worker
}

// ring holds passages, the next to be overwritten at next.
type ring struct {
	slots []passage
	most  int
	next  int
}

// slot is where the next passage goes. Memory grows with the requests that come, up to the bound.
func (r *ring) slot() *passage {
	if len(r.slots) < r.most {
		r.slots = append(r.slots, passage{})
		return &r.slots[len(r.slots)-1]
	}
	p := &r.slots[r.next]
	r.next = (r.next + 1) % r.most
	return p
}

// remember keeps an exchange, in one of the rings.
func (r *recent) remember(by *Reporter, x *stream.Exchange) {
	r.mu.Lock()
	defer r.mu.Unlock()
	to := &r.all
	if failing(x) {
		to = &r.failed
	}
	to.slot().note(by, x)
}

// failing says whether an exchange is kept among the failed ones.
func failing(x *stream.Exchange) bool {
	n := x.GRPCStatus()
	return x.Response.Status == 0 || x.Response.Status >= 500 || x.Response.Status >= 400 && x.Local() || tap.ServerFault(n)
}

// event spells one passage out, nil when there is none yet. The worker is held up for one at a time, not for all.
func (r *recent) event(of *ring, at int) *tap.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	if at >= len(of.slots) {
		return nil
	}
	return of.slots[at].event()
}

// recentEvents spells out what the selector chooses, in the order of time.
func (t *Tap) recentEvents(s *tap.Selector) (out []*tap.Event) {
	for i := range t.recent {
		r := &t.recent[i]
		for _, ring := range []*ring{&r.all, &r.failed} {
			for at := range ring.most {
				if e := r.event(ring, at); e != nil && s.Matches(e) {
					out = append(out, e)
				}
			}
		}
	}
	slices.SortStableFunc(out, func(a, b *tap.Event) int { return a.Start.Compare(b.Start) })
	return out
}

// Recent serves the requests that the proxy remembers, oldest first, a line of JSON each, without headers: those that the query chooses, the last ones with limit.
func (t *Tap) Recent(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	last := 0
	if v := q.Get("limit"); q.Has("limit") {
		var err error
		if last, err = strconv.Atoi(v); err != nil || last < 1 {
			http.Error(w, fmt.Sprintf("limit: %q is not a number of 1 or more", v), http.StatusBadRequest)
			return
		}
		q.Del("limit")
	}
	s, err := tap.Parse(q)
	if err == nil && s.NeedsHeaders() {
		err = fmt.Errorf("headers are not kept of requests that are over; leave them out, or watch requests as they come")
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	list := t.recentEvents(&s)
	if last > 0 && len(list) > last {
		list = list[len(list)-last:]
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	e := json.NewEncoder(w)
	for _, x := range list {
		if e.Encode(x) != nil {
			return // the reader has left
		}
	}
}
