package ledger

import (
	"fmt"
	"strings"
)

// Entry is what the ledger says of a row: one of the three, or nothing.
type Entry struct {
	Row
	Fixture string // that fails without it
	Same    string // why it says what counts anyway, so that nothing can fail without it
	Told    string // why it has no effect, as its author is told
}

// IsZero says whether nothing is known.
func (e Entry) IsZero() bool { return e.Fixture == "" && e.Same == "" && e.Told == "" }

// Page writes the ledger: a summary, then a table for each subject.
func Page(entries []Entry) string {
	var subjects []string
	by := map[string][]Entry{}
	for _, e := range entries {
		if by[e.Subject] == nil {
			subjects = append(subjects, e.Subject)
		}
		by[e.Subject] = append(by[e.Subject], e)
	}
	var b strings.Builder
	b.WriteString(head)
	for _, s := range subjects {
		works, told := count(by[s])
		fmt.Fprintf(&b, "| [%s](#%s) | %d | %d | %d | %d |\n", s, anchor(s), len(by[s]), works, told, len(by[s])-works-told)
	}
	for _, s := range subjects {
		fmt.Fprintf(&b, "\n## %s\n\n| row | proof, or why not |\n|---|---|\n", s)
		for _, e := range by[s] {
			fmt.Fprintf(&b, "| `%s` | %s |\n", e, e.say())
		}
	}
	return b.String()
}

const head = `# What of the routing languages works

Written by ` + "`go test -run TestLedger -update ./test/interop`" + `, which takes every field, value, annotation and label that the modules of Istio and of the Gateway API define out of every fixture that has it.
A row works when a fixture fails without it (or, where objects are refused without it or it says what counts anyway, with another value); its name stands here. A fixture without a folder is one of ` + "`test/interop/testdata`" + `, whose requests are answered by heddle-proxy and by stock Envoy alike.
Other rows have the words that their author reads in the object's status (or, for MeshConfig and pods, in the answer of the control plane). A row with neither is **open**: whether it works is not proven.

| subject | rows | work | told | open |
|---|--:|--:|--:|--:|
`

func count(list []Entry) (works, told int) {
	for _, e := range list {
		switch {
		case e.Fixture != "" || e.Same != "":
			works++
		case e.Told != "":
			told++
		}
	}
	return works, told
}

// anchor is the name that a heading has as a link.
func anchor(heading string) string {
	return strings.NewReplacer(" ", "-", "(", "", ")", "").Replace(strings.ToLower(heading))
}

func (e Entry) say() string {
	switch {
	case e.Fixture != "":
		return e.Fixture
	case e.Same != "":
		return e.Same
	case e.Told != "":
		return "**told**: " + strings.ReplaceAll(strings.ReplaceAll(e.Told, "|", `\|`), "\n", " ")
	}
	return "**open**"
}
