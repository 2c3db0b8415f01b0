package translate_test

import (
	"path/filepath"
	"testing"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/translate"
	"github.com/heddle-mesh/heddle/control/translate/world"
	"github.com/heddle-mesh/heddle/mesh"
	"golang.org/x/tools/txtar"
	"google.golang.org/protobuf/proto"
)

func seeds(f *testing.F, add func([]byte)) {
	for _, pattern := range []string{"istio/testdata/*.txtar", "gateway/testdata/*.txtar"} {
		files, _ := filepath.Glob(pattern)
		for _, file := range files {
			if a, err := txtar.ParseFile(file); err == nil {
				add(a.Files[0].Data)
			}
		}
	}
}

// Whatever YAML somebody writes, translation ends with problems that name the object, and a broken object has no noun.
func FuzzTranslateYAML(f *testing.F) {
	seeds(f, func(b []byte) { f.Add(b) })
	f.Fuzz(func(t *testing.T, data []byte) {
		results, _ := world.Load(settings, data, "")
		for _, r := range results {
			check(t, r.Object, r.Result)
		}
		world.Report(results, nil)
	})
}

// Specs come from clients that encode them in other ways too: every message that protobuf can decode is translated without a panic.
func FuzzTranslateProtobuf(f *testing.F) {
	seeds(f, func(b []byte) {
		objects, _ := api.DecodeAll(b, "")
		for _, o := range objects {
			if m, ok := o.Spec.(proto.Message); ok {
				if raw, err := proto.Marshal(m); err == nil {
					f.Add(kindIndex(o.Kind), raw)
				}
			}
		}
	})
	f.Fuzz(func(t *testing.T, kind uint8, raw []byte) {
		k := api.Kinds[int(kind)%len(api.Kinds)]
		m, ok := k.NewSpec().(proto.Message)
		if !ok || proto.Unmarshal(raw, m) != nil {
			return
		}
		o := api.Object{Kind: k, Meta: api.Meta{Name: "n", Namespace: "ns"}, Spec: m}
		api.Unenforced(o)
		check(t, o, translate.Object(o, nil, world.New(settings, []api.Object{o})))
	})
}

func kindIndex(k *api.Kind) uint8 {
	for i, x := range api.Kinds {
		if x == k {
			return uint8(i)
		}
	}
	return 0
}

func check(t *testing.T, o api.Object, r translate.Result) {
	for _, p := range r.Problems {
		if p.Message == "" || p.Code == "" || p.Object != o.Ref() {
			t.Fatalf("%s: incomplete problem %+v", o.Ref(), p)
		}
	}
	if r.Broken() && (r.Route != nil || r.Traffic != nil || r.Gateway != nil || r.Entry != nil || r.Workload != nil || r.PeerAuthn != nil || r.Authorization != nil) {
		t.Fatalf("%s is broken and has a noun: %v", o.Ref(), r.Problems)
	}
	if o.Kind.Istio() && o.Kind.Security && (r.Broken() || len(api.Unenforced(o)) > 0) && len(r.Denials) == 0 {
		t.Fatalf("%s cannot be enforced and nothing denies", o.Ref())
	}
	if r.Route != nil {
		sound(t, r.Route)
	}
}

// sound says what every consumer of a route relies on.
func sound(t *testing.T, r *mesh.Route) {
	for _, h := range r.HTTP {
		actions := 0
		for _, there := range []bool{len(h.Backends) > 0, h.Redirect != nil, h.Direct != nil} {
			if there {
				actions++
			}
		}
		if actions != 1 {
			t.Fatalf("%s: a rule with %d actions: %+v", r.Origin, actions, h)
		}
		total := uint64(0)
		for _, b := range h.Backends {
			total += uint64(b.Weight)
		}
		if len(h.Backends) > 0 && (total == 0 || total > 1<<32-1) {
			t.Fatalf("%s: weights add up to %d", r.Origin, total)
		}
	}
}
