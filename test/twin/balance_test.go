package twin_test

import (
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/heddle-mesh/heddle/test/twin"
)

// TestBalancing: the same hashes lead to the same endpoints, whatever weights localities and endpoints have, by whatever names endpoints are placed, and in whatever order they fill where loads are bounded; a full scan finds the idle one; a bias of 0 leaves the weights;
// and headers name destinations.
func TestBalancing(t *testing.T) {
	ports := twin.NewPorts(t)
	hold := make(chan struct{})
	held := make(chan string, 20)
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		twin.Serve(t, ports, name).Answer(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/hold") {
				held <- name
				<-hold
			}
			fmt.Fprint(w, name)
		})
	}
	var first map[string]string
	twin.Run(t, ports, "testdata/balance.yaml", func(t *testing.T, p *twin.Proxy) {
		at := map[string]string{}
		for _, cluster := range []string{"ring", "maglev", "names", "maglevnames"} {
			for i := range 200 {
				key := fmt.Sprint("key-", i)
				at[cluster+" "+key] = p.Get("/"+cluster+"/", "X-Key: "+key)
			}
		}
		var all sync.WaitGroup
		for _, cluster := range []string{"bounded", "loose"} {
			for i := range 12 { // all for one, which may not have them all
				all.Go(func() { p.Get("/"+cluster+"/hold", "X-Key: some key") })
				at[fmt.Sprintf("%s %d", cluster, i)] = <-held
			}
			for range 12 {
				hold <- struct{}{}
			}
			all.Wait()
		}
		if first == nil {
			first = at
		} else if !maps.Equal(first, at) {
			for k := range at {
				if at[k] != first[k] {
					t.Errorf("%s is at %s and at %s", k, first[k], at[k])
				}
			}
		}

		busy := map[string]bool{}
		for range 2 {
			all.Go(func() { p.Get("/full/hold") })
			busy["200 "+<-held] = true
		}
		if got := spread(p, "/full/", 20); len(busy) != 2 || len(got) != 1 || busy[got[0]] {
			t.Errorf("with requests at %v others go to %v", busy, got)
		}
		for range 4 { // they do not count
			all.Go(func() { p.Get("/biased/hold") })
			<-held
		}
		n := 0
		for range 400 {
			if p.Get("/biased/") == "200 a" {
				n++
			}
		}
		if n < 255 || n > 345 {
			t.Errorf("%d of 400 requests went to the endpoint with three of four parts of the weight", n)
		}
		for range 6 {
			hold <- struct{}{}
		}
		all.Wait()

		for _, tt := range []struct{ path, header, want string }{
			{"/header/", "X-Envoy-Original-Dst-Host: " + ports.Address("a"), "200 a"}, {"/header/", "X-Envoy-Original-Dst-Host: " + ports.Address("d"), "200 d"},
			{"/port/", "X-To: " + ports.Address("a"), "200 b"}, {"/port/", "X-To: 127.0.0.1:1", "200 b"},
		} {
			if got := p.Get(tt.path, tt.header); got != tt.want {
				t.Errorf("%s with %s: %s", tt.path, tt.header, got)
			}
		}
	})
}
