package client

import (
	"maps"
	"slices"

	"github.com/heddle-mesh/heddle/xds"
)

// subscription is what is wanted and held of one type. It needs the client's mutex.
type subscription struct {
	url      string
	wildcard bool
	names    map[string]struct{}
	held     map[string]string // name → accepted version

	opened bool            // the stream has had the first request of the type
	add    map[string]bool // names to subscribe to (true) or give up (false) with the next request; "*" is the list

	nonce, version string // state of the world: of the last response, and of the last accepted one
	changed        bool   // state of the world: the list of names differs from what the server was told
}

func newSubscription(url string) *subscription {
	return &subscription{url: url, names: map[string]struct{}{}, held: map[string]string{}, add: map[string]bool{}}
}

func (t *subscription) subscribe(name string) {
	if _, ok := t.names[name]; !ok {
		t.names[name] = struct{}{}
		t.add[name], t.changed = true, true
	}
}

func (t *subscription) unsubscribe(name string) {
	if _, ok := t.names[name]; !ok {
		return
	}
	delete(t.names, name)
	if !t.wildcard {
		delete(t.held, name)
	}
	t.add[name], t.changed = false, true
}

func (t *subscription) subscribeAll() {
	if !t.wildcard {
		t.wildcard, t.add["*"], t.changed = true, true, true
	}
}

func (t *subscription) unsubscribeAll() {
	if !t.wildcard {
		return
	}
	t.wildcard, t.add["*"], t.changed = false, false, true
	maps.DeleteFunc(t.held, func(n, _ string) bool { _, ok := t.names[n]; return !ok })
}

// reset prepares for a new stream.
func (t *subscription) reset() {
	t.opened, t.nonce, t.version = false, "", ""
	clear(t.add)
}

// wanted says whether the type is subscribed to at all.
func (t *subscription) wanted() bool { return t.wildcard || len(t.names) > 0 }

// first is the opening of the type on a stream: names (none is the legacy form of the whole list) and the versions that are held.
func (t *subscription) first() (names []string, versions map[string]string) {
	names = slices.Sorted(maps.Keys(t.names))
	if t.wildcard && len(names) > 0 || t.wildcard && byNameOnly(t.url) {
		names = append([]string{"*"}, names...)
	}
	t.opened, t.changed = true, false
	clear(t.add)
	return names, maps.Clone(t.held)
}

// byNameOnly are the types whose empty request asks for nothing.
func byNameOnly(url string) bool {
	return url == xds.Endpoints || url == xds.Route || url == xds.Secret || url == xds.Extension
}

// difference is what to subscribe to and to give up since the last request.
func (t *subscription) difference() (subscribe, unsubscribe []string) {
	for name, add := range t.add {
		if add {
			subscribe = append(subscribe, name)
		} else {
			unsubscribe = append(unsubscribe, name)
		}
	}
	clear(t.add)
	slices.Sort(subscribe)
	slices.Sort(unsubscribe)
	return subscribe, unsubscribe
}

// all is the names of a state-of-the-world request.
func (t *subscription) all() []string {
	t.changed = false
	names := slices.Sorted(maps.Keys(t.names))
	if t.wildcard && (len(names) > 0 || byNameOnly(t.url)) {
		names = append([]string{"*"}, names...)
	}
	return names
}

// covers says whether a resource that came is still wanted.
func (t *subscription) covers(name string) bool {
	_, ok := t.names[name]
	return ok || t.wildcard
}
