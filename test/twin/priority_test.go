package twin_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/heddle-mesh/heddle/test/twin"
)

// TestPriorities: a route's priority says which limits of the circuit breaker count, and what is full at one has room at the other.
func TestPriorities(t *testing.T) {
	ports := twin.NewPorts(t)
	hold := make(chan struct{})
	held := make(chan string, 10)
	twin.Serve(t, ports, "a").Answer(func(_ http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/hold") {
			held <- r.URL.Path
			<-hold
		}
	})
	twin.Run(t, ports, "testdata/priority.yaml", func(t *testing.T, p *twin.Proxy) {
		const overflow = "503 upstream connect error or disconnect/reset before headers. reset reason: overflow"
		var all sync.WaitGroup
		taken, waiting := 0, 0
		for _, level := range []struct {
			path        string
			connections int
		}{{"/default/hold", 1}, {"/high/hold", 2}} {
			for range level.connections {
				all.Go(func() { p.Get(level.path) })
				if got := <-held; got != level.path {
					t.Errorf("%s has come", got)
				}
				taken++
			}
			all.Go(func() { p.Get(level.path) }) // for which no connection is left
			taken++
			waiting++
			p.Until("one more waits", func() bool { return p.Stat("cluster.app.upstream_rq_pending_active") == waiting })
			if got := p.Get(level.path); got != overflow {
				t.Errorf("%s: %s", level.path, got)
			}
		}
		for range taken {
			hold <- struct{}{}
		}
		all.Wait()
		for len(held) > 0 {
			<-held
		}
		for _, path := range []string{"/never/", "/again/"} {
			p.Get(path)
		}
		if retried, refused := p.Stat("cluster.gone.upstream_rq_retry"), p.Stat("cluster.gone.upstream_rq_retry_overflow"); retried != 5 || refused != 1 {
			t.Errorf("%d retries, and %d were refused", retried, refused)
		}
	})
}
