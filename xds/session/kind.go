package session

import (
	"hash/fnv"
	"strconv"
	"time"

	"github.com/heddle-mesh/heddle/xds"
)

// The ranks of the types: make before break. Types that nothing depends on have the last rank.
const (
	rankCluster = iota
	rankEndpoints
	rankListener
	rankRoute
	rankVirtualHost
	rankFree
)

func rankOf(url string) int {
	switch url {
	case xds.Cluster:
		return rankCluster
	case xds.Endpoints:
		return rankEndpoints
	case xds.Listener:
		return rankListener
	case xds.Route:
		return rankRoute
	case xds.VirtualHost:
		return rankVirtualHost
	}
	return rankFree
}

// byNameOnly says that an empty first request of the type subscribes to nothing; for other types it means everything (the legacy form of "*").
func byNameOnly(url string) bool {
	switch url {
	case xds.Endpoints, xds.Route, xds.Secret, xds.Extension:
		return true
	}
	return false
}

// entry is what is known of one name. "Held" means what the client was told to hold.
type entry struct {
	name     string
	seen     *xds.Resource // what the source last answered
	sent     *xds.Resource // what the client was last told to hold; nil: nothing
	good     *xds.Resource // what it last accepted
	mark     uint32        // the listing that last had it
	explicit bool          // the client named it
	listed   bool          // the type's list has it (wildcard)
}

// flight is a response without an answer yet.
type flight struct {
	nonce   string
	at      time.Time
	items   []*xds.Resource
	removed map[string]*xds.Resource // by name: what the client had accepted of it before, or nil
}

// kind is the state of one resource type.
type kind struct {
	url  string
	rank int
	full bool // state of the world, and every response holds all there is (listeners and clusters)

	subscribed bool // a request was seen
	wildcard   bool
	legacy     bool   // wildcard by an empty first request
	fresh      bool   // the first answer is not complete: the client waits for it, so it waits for nobody
	relist     bool   // the list of names may have changed
	answer     bool   // the client must have a response, even an empty one
	listing    uint32 // counts up; 0 is before the first

	entries map[string]*entry
	dirty   map[string]struct{}  // must be looked at
	owed    map[string]struct{}  // must be sent, even unchanged; each is dirty as well
	gone    map[string]time.Time // held by the client and no longer there, since when; removal waits for its turn
	refused map[string]string    // name → the version that the client refused on this stream
	since   time.Time            // when the oldest unsent work was first seen
	trials  [][]string           // batches that travel one by one, to find a culprit
	// unheard are the route configurations whose virtual hosts (of this kind) the client has no answer about yet: hosts of theirs, or an empty response.
	unheard map[string]struct{}

	flights []flight
	named   int    // explicit names
	bare    int    // held resources whose claims are not known
	sum     uint64 // exclusive or over the hashes of what is held: the version of the type's state

	sentNonce, ackNonce, nackNonce string
	sentAt, ackAt                  time.Time
	nackText                       string
}

func newKind(url string, mode Mode) *kind {
	rank := rankOf(url)
	return &kind{
		url: url, rank: rank, full: mode == StateOfTheWorld && (rank == rankCluster || rank == rankListener),
		entries: map[string]*entry{}, dirty: map[string]struct{}{}, owed: map[string]struct{}{}, gone: map[string]time.Time{}, refused: map[string]string{}, unheard: map[string]struct{}{},
	}
}

func (k *kind) entry(name string) *entry {
	e := k.entries[name]
	if e == nil {
		e = &entry{name: name}
		k.entries[name] = e
	}
	return e
}

func (k *kind) owe(name string) {
	k.owed[name] = struct{}{}
	k.dirty[name] = struct{}{}
}

func (k *kind) settle(name string) {
	delete(k.owed, name)
	delete(k.dirty, name)
}

// claimed says that a takeover within the type must travel in one response.
func (k *kind) claimed() bool { return k.rank == rankListener || k.rank == rankVirtualHost }

// account changes what the client holds under a name, with the sums over it.
func (k *kind) account(e *entry, r *xds.Resource) {
	if old := e.sent; old != nil {
		k.sum ^= fingerprint(old)
		if old.Claims == nil {
			k.bare--
		}
	}
	e.sent = r
	if r == nil {
		delete(k.gone, e.name)
		return
	}
	k.sum ^= fingerprint(r)
	if r.Claims == nil {
		k.bare++
	}
}

// told notes which route configurations a response is an answer about, and says whether one is left without. An empty response is an answer about all.
func (k *kind) told(p pick) (all bool) {
	if len(p.adds) == 0 && len(p.removed) == 0 {
		clear(k.unheard)
	}
	for _, r := range p.adds {
		k.hear(r.Name.Name)
	}
	for _, name := range p.removed {
		k.hear(name)
	}
	return len(k.unheard) == 0
}

func (k *kind) hear(virtualHost string) {
	if route, ok := xds.RouteOf(virtualHost); ok {
		delete(k.unheard, route)
	}
}

func (k *kind) version() string { return strconv.FormatUint(k.sum, 16) }

// waiting says that a response is on its way and its answer is still worth waiting for.
func (k *kind) waiting(now time.Time) bool {
	n := len(k.flights)
	return n > 0 && now.Before(k.flights[n-1].at.Add(Patience))
}

// carries says that a response with additions (or, with removals set, any) is still unanswered.
func (k *kind) carries(removals bool) bool {
	for _, f := range k.flights {
		if len(f.items) > 0 || removals && len(f.removed) > 0 {
			return true
		}
	}
	return false
}

// fingerprint hashes name and version (FNV-1a): the same on every replica.
func fingerprint(r *xds.Resource) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(r.Name.Name))
	_, _ = h.Write([]byte{0})
	_, _ = h.Write([]byte(r.Version))
	return h.Sum64()
}
