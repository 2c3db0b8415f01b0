package twin_test

import (
	"slices"
	"testing"

	"github.com/heddle-mesh/heddle/test/twin"
)

// TestSubsets: which endpoints a request may get, by the labels that its route wants, the selectors of the cluster and their fallbacks.
func TestSubsets(t *testing.T) {
	ports := twin.NewPorts(t)
	for _, name := range []string{"a", "b", "c", "d"} {
		twin.Serve(t, ports, name)
	}
	const nobody = "503 no healthy upstream"
	twin.Run(t, ports, "testdata/subset.yaml", func(t *testing.T, p *twin.Proxy) {
		for path, want := range map[string][]string{
			"/any/": {"200 a", "200 b", "200 c", "200 d"}, "/any-1/": {"200 a"}, "/any-2/": {"200 b", "200 c"},
			"/any-text/":  {"200 a", "200 b", "200 c", "200 d"}, // a text is no number
			"/any-2-dev/": {"200 c"}, "/any-1-dev/": {"200 a"},
			"/any-3-dev/": {"200 a", "200 b", "200 c", "200 d"}, "/any-strange/": {"200 a", "200 b", "200 c", "200 d"}, "/any-test/": {nobody}, "/any-default/": {"200 c"},
			"/default/": {"200 a", "200 b"}, "/default-1/": {"200 a"}, "/default-3/": {"200 a", "200 b"},
			"/none/": {nobody}, "/none-2/": {"200 b", "200 c"}, "/none-3/": {nobody},
			"/list-y/": {"200 a"}, "/list-z/": {"200 b"}, "/list-xy/": {nobody}, "/whole-xy/": {"200 a"}, "/whole-y/": {nobody},
			"/panic/": {"200 a", "200 b", "200 c", "200 d"}, "/hash/": {"200 b", "200 c"},
			"/weighted/": {"200 b"}, // the labels of the cluster go over those of the route
		} {
			got := spread(p, path, 60)
			if slices.Sort(got); !slices.Equal(got, want) {
				t.Errorf("%s: %q, want %q", path, got, want)
			}
		}
	})
}
