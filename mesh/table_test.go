package mesh

import (
	"cmp"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// A table and a plain map go through the same edits and must agree; every older version must stay as it was.
func TestTableAgreesWithMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		model := map[int]string{}
		b := NewBuilder[int, string](cmp.Compare[int])
		for _, k := range rapid.SliceOfN(rapid.IntRange(0, 60), 0, 40).Draw(t, "bulk") {
			v := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "v")
			b.Add(k, v)
			model[k] = v
		}
		table := b.Table()
		before, beforeModel := table, maps.Clone(model)
		for range rapid.IntRange(0, 60).Draw(t, "edits") {
			k := rapid.IntRange(0, 60).Draw(t, "k")
			if rapid.Bool().Draw(t, "remove") {
				table = table.Without(k)
				delete(model, k)
			} else {
				v := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "v")
				table = table.With(k, v)
				model[k] = v
			}
		}
		agree(t, table, model)
		agree(t, before, beforeModel)
		checkShape(t, table.root)
		var want []int
		for k := range 61 {
			x, inX := beforeModel[k]
			y, inY := model[k]
			if inX != inY || x != y {
				want = append(want, k)
			}
		}
		if got := slices.Collect(DiffTable(before, table)); !slices.Equal(got, want) {
			t.Fatalf("diff %v, want %v", got, want)
		}
		if got := slices.Collect(DiffTable(Table[int, string]{}, table)); !slices.Equal(got, slices.Sorted(maps.Keys(model))) {
			t.Fatalf("diff from the zero table: %v", got)
		}
		from := rapid.IntRange(-1, 62).Draw(t, "from")
		var got []int
		for k := range table.From(from) {
			got = append(got, k)
		}
		want = slices.DeleteFunc(slices.Sorted(maps.Keys(model)), func(k int) bool { return k < from })
		if !slices.Equal(got, want) {
			t.Fatalf("from %d: %v, want %v", from, got, want)
		}
	})
}

func agree(t *rapid.T, table Table[int, string], model map[int]string) {
	if table.Len() != len(model) {
		t.Fatalf("len %d, want %d", table.Len(), len(model))
	}
	var keys []int
	for k, v := range table.All() {
		keys = append(keys, k)
		if got, ok := table.Get(k); !ok || got != v || model[k] != v {
			t.Fatalf("key %d: %q and %q, want %q", k, v, got, model[k])
		}
	}
	if !slices.Equal(keys, slices.Sorted(maps.Keys(model))) {
		t.Fatalf("keys %v, want %v", keys, slices.Sorted(maps.Keys(model)))
	}
}

func checkShape(t *rapid.T, n *node[int, string]) {
	if n == nil {
		return
	}
	if d := n.left.tall() - n.right.tall(); d < -1 || d > 1 {
		t.Fatalf("node %d leans by %d", n.entry.key, d)
	}
	checkShape(t, n.left)
	checkShape(t, n.right)
}

// One change in a big table is found without a visit to the shared rest.
func TestDiffSkipsSharedSubtrees(t *testing.T) {
	visits := 0
	compare := func(a, b int) int { visits++; return cmp.Compare(a, b) }
	b := NewBuilder[int, *int](compare)
	for i := range 100_000 {
		b.Add(i, new(int))
	}
	old := b.Table()
	for _, changed := range []Table[int, *int]{old.With(70_000, new(int)), old.Without(3), old.With(200_000, new(int))} {
		visits = 0
		if got := slices.Collect(DiffTable(old, changed)); len(got) != 1 {
			t.Errorf("changed keys %v, want one", got)
		}
		if visits > 400 {
			t.Errorf("%d comparisons to find one change in 100,000 entries", visits)
		}
	}
}

// An index slice that was built again from the same pointers is no change.
func TestEqualSlicesAreUnchanged(t *testing.T) {
	r1, r2 := &Route{}, &Route{}
	old := NewTable[Host, []*Route](cmp.Compare[Host]).With("a", []*Route{r1, r2})
	if same := old.With("a", []*Route{r1, r2}); slices.Collect(DiffTable(old, same)) != nil {
		t.Error("a rebuilt slice of the same pointers counts as changed")
	}
	rebuilt := NewTable[Host, []*Route](cmp.Compare[Host]).With("a", []*Route{r1, r2})
	if got := slices.Collect(DiffTable(old, rebuilt)); got != nil {
		t.Errorf("a rebuilt table of the same pointers differs in %v", got)
	}
	if got := slices.Collect(DiffTable(old, old.With("a", []*Route{r2, r1}))); len(got) != 1 {
		t.Errorf("another order gives %v, want one change", got)
	}
}
