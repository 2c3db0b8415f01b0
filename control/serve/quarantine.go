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

// quarantine remembers refusals beyond one stream. A proxy is not sent again what it refused itself. What another proxy of the same build refused is only suspected and
// travels alone: so one bad object stops nothing else, and one lying proxy keeps nothing from the others.
type quarantine struct {
	count    atomic.Int64 // of culprits: nearly always 0, and asked for every resource
	mu       sync.RWMutex
	culprits map[culprit]map[string]time.Time // who refused it, and when
}

func newQuarantine() *quarantine { return &quarantine{culprits: map[culprit]map[string]time.Time{}} }

func (q *quarantine) add(p *mesh.Proxy, r *xds.Resource) {
	key, now := culprit{r.Name, r.Version, p.Build}, time.Now()
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.culprits) >= mostCulprits {
		q.forget(now)
	}
	who := q.culprits[key]
	if who == nil {
		who = map[string]time.Time{}
		q.culprits[key] = who
	}
	if len(who) < mostAccusers {
		who[p.ID] = now
	}
	q.count.Store(int64(len(q.culprits)))
}

// forget makes room: what is old goes, and if nothing is, any one.
func (q *quarantine) forget(now time.Time) {
	for key, who := range q.culprits {
		for id, at := range who {
			if now.Sub(at) > rememberedFor {
				delete(who, id)
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

func (q *quarantine) standing(p *mesh.Proxy, r *xds.Resource) session.Standing {
	if q.count.Load() == 0 {
		return session.Clear
	}
	q.mu.RLock()
	defer q.mu.RUnlock()
	who := q.culprits[culprit{r.Name, r.Version, p.Build}]
	if at, ok := who[p.ID]; ok && time.Since(at) < rememberedFor {
		return session.Refused
	}
	if len(who) > 0 {
		return session.Suspect
	}
	return session.Clear
}
