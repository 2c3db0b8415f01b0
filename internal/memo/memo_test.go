package memo

import (
	"fmt"
	"iter"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The source of the tests is a map; an asker has a few small attributes.
type source map[string]int

type asker struct {
	colour int
	size   int
	home   string // a key of the source: an answer that depends on data
}

type colourIs struct{ colour int }

func (q colourIs) Answer(_ source, a *asker) any { return a.colour == q.colour }

type sizeOf struct{}

func (sizeOf) Answer(_ source, a *asker) any { return a.size }

type atHome struct{}

func (atHome) Answer(s source, a *asker) any       { return s[a.home] }
func (atHome) Grounds(_ source, a *asker) []string { return []string{a.home} }

type value struct {
	text  string
	parts []*value
}

type testCache = Cache[source, asker, string, string, value]

// program is a computation whose reads and questions depend on what it read before: it walks from key to key.
func program(s source, name string, r *Reader[source, asker, string], part func(string) *value) *value {
	v := &value{}
	if whole, ok := strings.CutPrefix(name, "whole "); ok {
		for p := range strings.SplitSeq(whole, "+") {
			x := part(p)
			v.text += x.text
			v.parts = append(v.parts, x)
		}
		return v
	}
	key := name
	for range 6 {
		r.Read(key)
		n, ok := s[key]
		v.text += fmt.Sprint(key, "=", n, ok, ";")
		switch n % 5 {
		case 0:
			return v
		case 1:
			v.text += fmt.Sprint(r.Ask(colourIs{n % 3}), ";")
		case 2:
			v.text += fmt.Sprint(r.Ask(sizeOf{}), ";")
		case 3:
			v.text += fmt.Sprint(r.Ask(atHome{}), ";")
		}
		key = fmt.Sprint("k", (n*7+len(v.text))%8)
	}
	return v
}

func newCache(strong bool) *testCache {
	return New(Rules[source, asker, string, string, value]{
		Common: []string{"k1", "k2"}, Compute: program, Same: func(v *value) string { return v.text }, Strong: func(*value) bool { return strong },
	})
}

// Whatever is edited and in whatever order is asked, the cache gives what the function gives; and whoever holds a value that differs now was told so.
func TestAgreesWithTheFunction(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		strong := rapid.Bool().Draw(t, "strong")
		c := newCache(strong)
		now := source{}
		rev := Revision(0)
		c.Advance(rev, slices.Values([]string{}), func() {})
		askers := make([]*asker, rapid.IntRange(1, 5).Draw(t, "askers"))
		for i := range askers {
			askers[i] = &asker{colour: rapid.IntRange(0, 2).Draw(t, "colour"), size: rapid.IntRange(0, 1).Draw(t, "size"), home: fmt.Sprint("k", rapid.IntRange(0, 7).Draw(t, "home"))}
		}
		type held struct {
			asker *asker
			name  string
		}
		have := map[held]*value{}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			if rapid.IntRange(0, 3).Draw(t, "edit") == 0 {
				next := maps.Clone(now)
				var keys []string
				for range rapid.IntRange(1, 3).Draw(t, "edits") {
					k := fmt.Sprint("k", rapid.IntRange(0, 7).Draw(t, "key"))
					next[k] = rapid.IntRange(0, 40).Draw(t, "value")
					keys = append(keys, k)
				}
				rev++
				told := map[string]map[*value]bool{}
				for _, s := range c.Advance(rev, slices.Values(keys), func() { now = next }) {
					if told[s.Name] == nil {
						told[s.Name] = map[*value]bool{}
					}
					told[s.Name][s.Value] = true
				}
				for h, v := range have {
					want := run(now, h.name, h.asker)
					if want != v.text && !told[h.name][v] {
						t.Fatalf("%s changed from %q to %q and nobody was told", h.name, v.text, want)
					}
					if told[h.name][v] {
						delete(have, h)
					}
				}
				continue
			}
			a := askers[rapid.IntRange(0, len(askers)-1).Draw(t, "who")]
			name := rapid.SampledFrom([]string{"k0", "k1", "k2", "whole k1+k2", "whole k0+k1", "whole k3"}).Draw(t, "name")
			v := c.Get(now, rev, func() source { return now }, a, name)
			if want := run(now, name, a); v.text != want {
				t.Fatalf("%s for %+v: got %q, want %q", name, *a, v.text, want)
			}
			if again := c.Get(now, rev, func() source { return now }, a, name); again != v {
				t.Fatal("asked twice, computed twice")
			}
			have[held{a, name}] = v
		}
		runtime.KeepAlive(have)
		runtime.KeepAlive(askers)
	})
}

func run(s source, name string, a *asker) string {
	var part func(string) *value
	part = func(name string) *value {
		return program(s, name, &Reader[source, asker, string]{source: s, asker: a}, part)
	}
	return part(name).text
}

// Two askers who answer alike share the pointer; a value dies with its last holder, and its leaf with it.
func TestVariantsDie(t *testing.T) {
	c := newCache(false)
	s := source{"k1": 2} // asks for the size
	get := func(a *asker) *value { return c.Get(s, 0, func() source { return s }, a, "k1") }
	a, b, big := &asker{colour: 1}, &asker{colour: 2}, &asker{size: 1}
	va, vb, vbig := get(a), get(b), get(big)
	if va != vb || va == vbig {
		t.Fatal("askers that answer alike must share, others must not")
	}
	if n := c.Stats().Variants; n != 2 {
		t.Fatalf("%d variants, want 2", n)
	}
	runtime.KeepAlive(vbig)
	vbig = nil //nolint:ineffassign // the garbage collector sees it
	settle(t, c, 1)
	runtime.KeepAlive(va)
	va, vb = nil, nil //nolint:ineffassign // as above
	settle(t, c, 0)
	if st := c.Stats(); st.Names != 0 || st.Keys != 0 {
		t.Errorf("something is left: %+v", st)
	}
}

// A value that nobody holds outside lives as long as an asker of it.
func TestStrongValuesDieWithTheirAskers(t *testing.T) {
	c := newCache(true)
	s := source{"k1": 2}
	a, b := &asker{}, &asker{}
	c.Get(s, 0, func() source { return s }, a, "k1")
	c.Get(s, 0, func() source { return s }, b, "k1")
	runtime.GC()
	if n := c.Stats().Variants; n != 1 {
		t.Fatalf("%d variants, want 1", n)
	}
	runtime.KeepAlive(a)
	a = nil //nolint:ineffassign // the garbage collector sees it
	runtime.GC()
	runtime.GC()
	if n := c.Stats().Variants; n != 1 {
		t.Fatalf("%d variants while an asker lives, want 1", n)
	}
	runtime.KeepAlive(b)
	b = nil //nolint:ineffassign // as above
	settle(t, c, 0)
}

func settle(t *testing.T, c *testCache, want int) {
	t.Helper()
	for range 200 {
		runtime.GC()
		if c.Stats().Variants == want {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatalf("%d variants live, want %d", c.Stats().Variants, want)
}

// A store of the revision before gives what it gave then, as long as somebody holds it.
func TestEarlierRevision(t *testing.T) {
	c := newCache(false)
	old, now := source{"k1": 5}, source{"k1": 10}
	a := &asker{}
	first := c.Get(old, 0, func() source { return old }, a, "k1")
	stale := c.Advance(1, one("k1"), func() {})
	if len(stale) != 1 || stale[0].Value != first {
		t.Fatalf("stale %v, want the first value", stale)
	}
	if got := c.Get(old, 0, func() source { return now }, a, "k1"); got != first {
		t.Errorf("the earlier revision gave %q, want what it gave before", got.text)
	}
	if got := c.Get(now, 1, func() source { return now }, a, "k1"); got.text == first.text {
		t.Error("the later revision gave the earlier value")
	}
	if got := c.Get(old, 0, func() source { return now }, a, "k2"); got.text != run(now, "k2", a) {
		t.Errorf("what was never asked for came as %q, want it as of now", got.text)
	}
}

func one(k string) iter.Seq[string] { return slices.Values([]string{k}) }

// Who is answered otherwise than before does not keep alive what it was answered then: nobody asks for that any more.
func TestStrongValuesDieWhenTheirAskersAreAnsweredOtherwise(t *testing.T) {
	c := newCache(true)
	now := source{"k0": 3, "here": 1, "there": 1}
	current := func() source { return now }
	a, b := &asker{home: "here"}, &asker{home: "there"}
	first := c.Get(now, 1, current, a, "k0")
	if second := c.Get(now, 1, current, b, "k0"); second != first {
		t.Fatal("they do not share")
	}
	now = source{"k0": 3, "here": 2, "there": 1}
	told := c.Advance(2, one("here"), func() {})
	if len(told) != 1 {
		t.Fatalf("%d values may have been replaced", len(told))
	}
	living := func() (n int) {
		for range c.All() {
			n++
		}
		return n
	}
	if c.Get(now, 2, current, a, "k0"); living() != 1 {
		t.Errorf("%d values live while one asker has asked again", living())
	}
	if c.Get(now, 2, current, b, "k0") != first || living() != 2 {
		t.Errorf("%d values live, or what was remembered was made again", living())
	}
	now = source{"k0": 3, "here": 2, "there": 2}
	c.Advance(3, one("there"), func() {})
	c.Get(now, 3, current, b, "k0")
	if living() != 1 {
		t.Errorf("%d values live, though both are answered alike", living())
	}
	c.Advance(4, one("elsewhere"), func() {})
	if n := c.Stats().Variants; n != 1 {
		t.Errorf("%d variants are left", n)
	}
	runtime.KeepAlive([]*asker{a, b})
}
