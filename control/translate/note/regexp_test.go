package note

import (
	"strings"
	"testing"

	"github.com/heddle-mesh/heddle/api"
)

func TestRegexp(t *testing.T) {
	for _, c := range []struct {
		name, expression, say string
	}{
		{"plain", `^/api/v[0-9]+/(users|carts)/.*$`, ""},
		{"a repeat that proxies take", `[a-z]{1,63}(\.[a-z]{1,63}){0,3}`, ""},
		{"not RE2", `(?=a)b`, "is not a regular expression"},
		{"a back reference", `(a)\1`, "is not a regular expression"},
		{"too long", strings.Repeat("a", 1025), "1025 characters"},
		{"a megabyte", strings.Repeat("(a", 1<<19), "1048576 characters"},
		{"short and large", strings.Repeat(`\pL{1000}`, 100), "instructions, and a proxy takes 32768"},
		{"nested repeats", `((a{30}){30}){30}`, "is not a regular expression"},
		{"many repeats", strings.Repeat("a{1000}", 40), "instructions, and a proxy takes 32768"},
	} {
		p := For(api.Object{})
		p.Regexp(c.expression, "spec.x")
		said := ""
		if len(p.Problems()) == 1 {
			said = p.Problems()[0].Message
		}
		if (said == "") != (c.say == "") || !strings.Contains(said, c.say) || len(p.Problems()) > 1 {
			t.Errorf("%s: %v", c.name, p.Problems())
		}
	}
}

// TestManyExpressions: what is small alone may be too much together, and that is told once.
func TestManyExpressions(t *testing.T) {
	p := For(api.Object{})
	for range 100 {
		p.Regexp(strings.Repeat("a{1000}", 15), "spec.x")
	}
	if len(p.Problems()) != 1 || !strings.Contains(p.Problems()[0].Message, "together") {
		t.Error(p.Problems())
	}
}
