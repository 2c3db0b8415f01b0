package live

import (
	"math"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/xds"
)

// patience is what a resource still waits for: whether there is anything, and after how long it goes into force without it.
type patience struct {
	lacks bool
	limit time.Duration
}

const forever time.Duration = math.MaxInt64

// wait adds something that is lacking, with its own limit (initial_fetch_timeout); 0 is none.
func (p *patience) wait(limit time.Duration) {
	if limit == 0 {
		limit = forever
	}
	p.lacks, p.limit = true, max(p.limit, limit)
}

// over says whether a resource that has waited since a moment goes into force now.
func (p patience) over(since, now time.Time) bool {
	return !p.lacks || p.limit != forever && now.Sub(since) >= p.limit
}

// warm moves what is complete, or has waited long enough, into force.
func (l *Live) warm(now time.Time) (changes []*change) {
	impatient := func(kind, name, lacks string, after time.Duration) {
		l.opts.Log.Warn("put into force without what it waits for", "kind", kind, "name", name, "lacks", lacks, "after", after)
	}
	changes = warm(xds.Cluster, l.clusters, l.clusterLacks, now, func(name string, _ *config.Cluster, after time.Duration) {
		impatient("cluster", name, clusterLacks, after)
	})
	if !l.ready.Load() && !l.whole(now) {
		return changes
	}
	return append(changes, warm(xds.Listener, l.listeners, l.listenerLacks, now, func(name string, x *config.Listener, after time.Duration) {
		impatient("listener", name, l.lacks(x), after)
	})...)
}

// whole says whether the first listeners may go into force. They do so together, when everything that the control plane has said is there and endpoints have been checked: as in Envoy, whose workers
// begin to listen at the end of all initialization. Else a connection that a listener to come would route, encrypt or deny is taken by one that passes on what no
// other wants.
func (l *Live) whole(now time.Time) bool {
	for _, t := range l.wanted {
		if (t == xds.Listener || t == xds.Cluster) && !l.heard[t] {
			return false
		}
	}
	for name, s := range l.clusters {
		if s.live == nil || s.live.value.Check != nil && l.opts.Checked != nil && !l.opts.Checked(name) {
			return false
		}
	}
	for _, s := range l.listeners {
		if s.next != nil && !l.listenerLacks(s.next.value).over(s.since, now) {
			return false
		}
	}
	return true
}

func warm[T any](typeURL string, slots map[string]*slot[T], lacks func(*T) patience, now time.Time, impatient func(string, *T, time.Duration)) (changes []*change) {
	for _, name := range sortedKeys(slots) {
		s := slots[name]
		h := s.next
		if h == nil {
			continue
		}
		p := lacks(h.value)
		if !p.over(s.since, now) {
			continue
		}
		if p.lacks {
			impatient(name, h.value, p.limit)
		}
		former := s.live
		c := &change{name: xds.Name{TypeURL: typeURL, Name: name}}
		c.redo = func() { slots[name], s.live, s.next = s, h, nil }
		c.undo = func() { // it waits no more either: it was found to be wrong
			if s.live, s.next = former, nil; former == nil {
				delete(slots, name)
			}
		}
		c.redo()
		changes = append(changes, c)
	}
	return changes
}

func (l *Live) clusterLacks(c *config.Cluster) (p patience) {
	switch c.Type {
	case config.EDS:
		if l.assignments[c.ServiceName] == nil {
			p.wait(c.EndpointsWait)
		}
	case config.StrictDNS, config.LogicalDNS:
		if r := l.resolving[c.Name]; r != nil && (r.of != c || r.result == nil) {
			p.wait(resolveWait)
		}
	}
	l.secretsLack(clusterSecrets(c), &p)
	return p
}

func (l *Live) listenerLacks(x *config.Listener) (p patience) {
	for _, c := range chains(x) {
		if c.HTTP == nil || c.HTTP.RouteName == "" {
			continue
		}
		switch t := l.tables[c.HTTP.RouteName]; {
		case t == nil:
			p.wait(c.HTTP.RouteWait)
		case t.value != nil && t.value.VHDS && !l.heardHosts[c.HTTP.RouteName]:
			p.wait(t.value.HostsWait)
		}
	}
	l.secretsLack(listenerSecrets(x), &p)
	return p
}

func (l *Live) secretsLack(refs []config.SecretRef, p *patience) {
	for _, r := range refs {
		if r.Local && l.opts.Identity != nil && !l.opts.Identity() || !r.Local && r.Name != "" && l.secrets[r.Name] == nil {
			p.wait(r.Wait)
		}
	}
}

// schedule sets the timer for the next moment at which something has waited long enough.
func (l *Live) schedule(now time.Time) {
	next := forever
	sooner := func(since time.Time, p patience) {
		if p.limit != forever && !p.over(since, now) { // what is over waits for others
			next = min(next, p.limit-now.Sub(since))
		}
	}
	for _, s := range l.clusters {
		if s.next != nil {
			sooner(s.since, l.clusterLacks(s.next.value))
		}
	}
	for _, s := range l.listeners {
		if s.next != nil {
			sooner(s.since, l.listenerLacks(s.next.value))
		}
	}
	if l.timer != nil {
		l.timer.Stop()
		l.timer = nil
	}
	if next != forever {
		l.timer = time.AfterFunc(max(next, time.Millisecond), l.Wake)
	}
}
