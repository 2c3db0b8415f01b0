package netns_test

import (
	"os"
	"sync"
	"testing"

	"github.com/heddle-mesh/heddle/data/node/netns"
)

// TestTheProcessStaysWhereItIs: no work inside a namespace moves the first thread of the process, which would keep the namespace alive.
func TestTheProcessStaysWhereItIs(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: network namespaces")
	}
	before := own(t)
	ns, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 100 {
				if err := ns.Do(func() error { return nil }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if after := own(t); after != before {
		t.Errorf("the process is in %s, and was in %s", after, before)
	}
}

func own(t *testing.T) string {
	t.Helper()
	link, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	return link
}
