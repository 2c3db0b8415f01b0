package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/heddle-mesh/heddle/api"
	"pgregory.net/rapid"
)

func object(t interface{ Fatal(...any) }, yaml string) api.Object {
	o, ps := api.Decode([]byte(yaml))
	if len(ps) > 0 {
		t.Fatal(ps)
	}
	return o
}

func entry(name, host, extra string) string {
	return fmt.Sprintf("apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: %s, namespace: shop}\nspec: {hosts: [%s], ports: [{number: 80, name: http, protocol: HTTP}]}\n%s", name, host, extra)
}

func TestStatusOnlyChangesAreQuiet(t *testing.T) {
	s := New()
	f := s.Feed()
	s.Put("a", object(t, entry("x", "x.example.com", "")), nil)
	<-f.Ready()
	refs, since, rev := f.Take()
	if len(refs) != 1 || since.IsZero() || rev != 1 {
		t.Fatal(refs, since, rev)
	}
	s.Put("a", object(t, entry("x", "x.example.com", "status: {conditions: [{type: Accepted}]}")), nil)
	if refs, _, _ := f.Take(); len(refs) != 0 || s.Revision() != 1 {
		t.Errorf("a status change was told: %v, revision %d", refs, s.Revision())
	}
	if e, _ := s.Get(object(t, entry("x", "x.example.com", "")).Ref()); e.Object.Status == nil {
		t.Error("the new status was not kept")
	}
	s.Put("a", object(t, entry("x", "y.example.com", "")), nil)
	if refs, _, _ := f.Take(); len(refs) != 1 {
		t.Errorf("a change was not told: %v", refs)
	}
}

func TestTwoOwners(t *testing.T) {
	s := New("one", "two")
	select {
	case <-s.Complete():
		t.Fatal("complete before its sources are")
	default:
	}
	s.Synced("one")
	s.Synced("one")
	s.Synced("two")
	<-s.Complete()
	ref := object(t, entry("x", "a.example.com", "")).Ref()
	s.Put("b.yaml", object(t, entry("x", "b.example.com", "")), nil)
	s.Put("a.yaml", object(t, entry("x", "a.example.com", "")), nil)
	if e, _ := s.Get(ref); e.Owner != "a.yaml" {
		t.Errorf("%s counts, want the first owner", e.Owner)
	}
	ps := s.Complaints()
	if len(ps) != 1 || !strings.Contains(ps[0].Message, "b.yaml is not used") {
		t.Error(ps)
	}
	s.Delete("a.yaml", ref)
	if e, _ := s.Get(ref); e == nil || e.Owner != "b.yaml" || len(s.Complaints()) != 0 {
		t.Errorf("the other owner did not take over: %v", e)
	}
	s.Replace("b.yaml", nil)
	if s.Len() != 0 {
		t.Error("objects are left")
	}
}

// A reader that follows a feed holds what the store holds.
func TestFeedFollows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := New()
		f := s.Feed()
		mirror := map[api.Ref]uint64{}
		follow := func() {
			refs, _, _ := f.Take()
			for _, r := range refs {
				if e, ok := s.Get(r); ok {
					mirror[r] = e.Revision
				} else {
					delete(mirror, r)
				}
			}
		}
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			owner := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "owner")
			o := object(t, entry(rapid.SampledFrom([]string{"x", "y", "z"}).Draw(t, "name"), rapid.SampledFrom([]string{"a.com", "b.com"}).Draw(t, "host"), ""))
			switch rapid.IntRange(0, 3).Draw(t, "op") {
			case 0:
				s.Delete(owner, o.Ref())
			case 1:
				s.Replace(owner, []Item{{Object: o}})
			default:
				s.Put(owner, o, nil)
			}
			if rapid.Bool().Draw(t, "take") {
				follow()
			}
		}
		follow()
		want := map[api.Ref]uint64{}
		for e := range s.All() {
			want[e.Object.Ref()] = e.Revision
		}
		if !maps.Equal(want, mirror) {
			t.Fatalf("mirror %v, store %v", mirror, want)
		}
		if !slices.IsSortedFunc(slices.Collect(s.All()), func(a, b *Entry) int { return compareRef(a.Object.Ref(), b.Object.Ref()) }) {
			t.Fatal("not ordered")
		}
	})
}
