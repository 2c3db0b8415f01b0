//go:build !race

package session

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/heddle-mesh/heddle/xds"
)

// TestFootprint bounds what a client costs: a map entry per resource, since bytes are shared, and nothing for what a resource claims or for what was waited for at the start.
func TestFootprint(t *testing.T) {
	const clients, clusters = 50, 1000
	src := shelf{}
	var names []string
	for i := range clusters {
		name := fmt.Sprintf("outbound|80||service-%04d.default.svc.cluster.local", i)
		names = append(names, name)
		for _, url := range []string{xds.Cluster, xds.Endpoints} {
			r := xds.FromBytes(xds.Name{TypeURL: url, Name: name}, make([]byte, 100))
			for n := range 6 { // as many as the domains of a service
				r.Claims = append(r.Claims, fmt.Sprintf("80/%s/%d", name, n))
			}
			src[r.Name] = r
		}
	}
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	sessions := make([]*Session, clients)
	for i := range sessions {
		s := New(Delta, nil)
		now := time.Unix(0, 0)
		s.Receive(now, Request{TypeURL: xds.Cluster})
		drain(s, now, src)
		s.Receive(now, Request{TypeURL: xds.Endpoints, Subscribe: names})
		drain(s, now, src)
		sessions[i] = s
	}
	each := (heap() - before) / (clients * clusters * 2)
	runtime.KeepAlive(sessions)
	t.Logf("%d bytes for each resource of each client", each)
	if each > 140 {
		t.Errorf("a resource costs %d bytes per client, want at most 140", each)
	}
}

func drain(s *Session, now time.Time, src Source) {
	for {
		r, ok := s.Next(now, src, 1<<20)
		if !ok {
			return
		}
		s.Receive(now, Request{TypeURL: r.TypeURL, Nonce: r.Nonce})
	}
}
