package smuggling

import (
	"fmt"
	"os"
	"path"
	"strings"
	"testing"

	"github.com/heddle-mesh/heddle/test/pair"
)

// difference is a part of a line of testdata/differences.txt: ATTACK... UPSTREAM: OURS / ENVOY'S, below a paragraph that says why. An attack may be a pattern.
// With a question mark behind the upstream it is there in some runs only, because Envoy does now this and now that.
type difference struct {
	attacks, upstream, ours, theirs, reason string
	sometimes, used                         bool
}

func differences(t *testing.T) (all []*difference) {
	t.Helper()
	text, err := os.ReadFile("testdata/differences.txt")
	if err != nil {
		t.Fatal(err)
	}
	reason, fresh := "", true
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		switch {
		case line == "":
			fresh = true
		case line[0] == '#':
			if fresh {
				reason = ""
			}
			reason, fresh = reason+line[1:], false
		default:
			head, sides, ok := strings.Cut(line, ": ")
			ours, theirs, ok2 := strings.Cut(sides+" ", " / ")
			names := strings.Fields(head)
			if !ok || !ok2 || len(names) < 2 || reason == "" {
				t.Fatalf("differences.txt: %q: want ATTACK... UPSTREAM: OURS / ENVOY'S below a reason", line)
			}
			up, sometimes := strings.CutSuffix(names[len(names)-1], "?")
			for _, name := range names[:len(names)-1] {
				all = append(all, &difference{attacks: name, upstream: up, sometimes: sometimes, ours: strings.TrimSpace(ours), theirs: strings.TrimSpace(theirs), reason: reason})
			}
		}
	}
	return all
}

// compare holds the two proxies side by side: each difference must be in the table, and each line of the table must be needed.
func compare(t *testing.T, all []attack, results map[string]map[string]outcome) {
	t.Helper()
	table := differences(t)
	for _, a := range all {
		for _, up := range []string{"up1", "up2"} {
			ours, theirs := results[pair.Heddle+" "+up][a.name], results[pair.Envoy+" "+up][a.name]
			if ours == theirs {
				continue
			}
			left, right := ours.told, theirs.told
			if left == right {
				left, right = fmt.Sprintf("[%s]", ours.reached), fmt.Sprintf("[%s]", theirs.reached)
			}
			if !explained(table, a.name, up, left, right) {
				t.Errorf("not explained: %s %s: %s / %s\n\tours %q\n\tEnvoy's %q", a.name, up, left, right, ours, theirs)
			}
		}
	}
	for _, d := range table {
		if !d.used && !d.sometimes && *whole {
			t.Errorf("differences.txt: %s %s: %s / %s is no difference any more", d.attacks, d.upstream, d.ours, d.theirs)
		}
	}
}

func explained(table []*difference, name, up, ours, theirs string) bool {
	for _, d := range table {
		if ok, _ := path.Match(d.attacks, name); ok && (d.upstream == "*" || d.upstream == up) && d.ours == ours && d.theirs == theirs {
			d.used = true
			return true
		}
	}
	return false
}
