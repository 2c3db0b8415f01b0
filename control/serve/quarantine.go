package serve

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/heddle-mesh/heddle/mesh"
	"github.com/heddle-mesh/heddle/xds"
	"github.com/heddle-mesh/heddle/xds/session"
)

// The bounds of what is remembered.
const (
	mostCulprits  = 4096
	mostAccusers  = 64
	rememberedFor = 10 * time.Minute // a reason on the proxy's side, such as a busy port, may pass
)

// culprit is a version that a build of a proxy refused.
type culprit struct {
	name    xds.Name
	version string
	build   string
}

// accuser is a proxy by its name and what proved it.
type accuser struct{ id, identity string }

// refusal is what a proxy said of a version, and what it kept instead: a restarted proxy is given that again, since it keeps nothing by itself.
type refusal struct {
	at   time.Time
	text string
	good *xds.Resource // nil for nothing
}

// quarantine remembers refusals beyond one stream. A proxy is not sent again what it refused itself. What another proxy of the same build refused is only suspected and
// travels alone: so one bad object stops nothing else, and one lying proxy keeps nothing from the others. A restart of heddled forgets it all: proxies announce what
// they hold, refuse once more, and go on holding it.
type quarantine struct {
	count    atomic.Int64 // of culprits: nearly always 0, and asked for every resource
	mu       sync.RWMutex
	culprits map[culprit]map[accuser]refusal
}

func newQuarantine() *quarantine { return &quarantine{culprits: map[culprit]map[accuser]refusal{}} }

func accuserOf(p *mesh.Proxy) accuser { return accuser{p.ID, p.Identity.String()} }

func (q *quarantine) add(p *mesh.Proxy, x session.Rejection) {
	key, now := culprit{x.Resource.Name, x.Resource.Version, p.Build}, time.Now()
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.culprits) >= mostCulprits {
		q.forget(now)
	}
	who := q.culprits[key]
	if who == nil {
		who = map[accuser]refusal{}
		q.culprits[key] = who
	}
	if former, ok := who[accuserOf(p)]; ok || len(who) < mostAccusers {
		if x.Good == nil || x.Good.Body == nil {
			x.Good = former.good
		}
		who[accuserOf(p)] = refusal{now, x.Error, x.Good}
	}
	q.count.Store(int64(len(q.culprits)))
}

// forget makes room: what is old goes, and if nothing is, any one.
func (q *quarantine) forget(now time.Time) {
	for key, who := range q.culprits {
		for by, r := range who {
			if now.Sub(r.at) > rememberedFor {
				delete(who, by)
			}
		}
		if len(who) == 0 {
			delete(q.culprits, key)
		}
	}
	for key := range q.culprits {
		if len(q.culprits) < mostCulprits {
			return
		}
		delete(q.culprits, key)
	}
}

// standing is what is known of a version, with the refusal of a proxy that refused it itself.
func (q *quarantine) standing(p *mesh.Proxy, r *xds.Resource) (session.Standing, refusal) {
	if q.count.Load() == 0 {
		return session.Clear, refusal{}
	}
	q.mu.RLock()
	defer q.mu.RUnlock()
	who := q.culprits[culprit{r.Name, r.Version, p.Build}]
	if own, ok := who[accuserOf(p)]; ok && time.Since(own.at) < rememberedFor {
		return session.Refused, own
	}
	if len(who) > 0 {
		return session.Suspect, refusal{}
	}
	return session.Clear, refusal{}
}
