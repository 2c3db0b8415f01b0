package compile

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// A textSet finds what a map finds.
func TestTextSet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lists := rapid.SliceOf(rapid.SliceOfN(rapid.Custom(func(t *rapid.T) string { return fmt.Sprint(rapid.IntRange(0, 200).Draw(t, "text")) }), 0, 8)).Draw(t, "lists")
		size := 0
		for _, l := range lists {
			size += len(l)
		}
		set, known := newTextSet(size), map[string]bool{}
		for _, l := range lists {
			want := slices.DeleteFunc(slices.Clone(l), func(x string) bool { return !known[x] })
			if got := set.add(l); !slices.Equal(got, want) {
				t.Fatalf("%v has %v again, want %v", l, got, want)
			}
			for _, x := range l {
				known[x] = true
			}
		}
	})
}
