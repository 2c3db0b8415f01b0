package gateway_test

import (
	"strings"
	"testing"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/translate/world"
)

// TestWhatOneRuleBecomes: matches and backends multiply where each backend has a route of its own.
func TestWhatOneRuleBecomes(t *testing.T) {
	rule := func(matches, backends int, more string) string {
		return "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: r, namespace: prod}\nspec:\n  parentRefs: [{name: edge}]\n  rules:\n  - matches: [" +
			strings.Repeat("{path: {value: /a}}, ", matches) + "]\n    backendRefs: [" + strings.Repeat("{name: web, port: 80}, ", backends) + "]\n    " + more + "\n"
	}
	for name, tt := range map[string]struct {
		text  string
		valid bool
	}{
		"all that the schema allows": {rule(64, 16, "sessionPersistence: {sessionName: s}"), true},
		"more matches":               {rule(65, 16, "sessionPersistence: {sessionName: s}"), false},
		"without sessions":           {rule(1000, 100, ""), true},
	} {
		results, rest := world.Load(settings, []byte(tt.text), "")
		problems := rest
		for _, r := range results {
			problems = append(problems, r.Problems...)
		}
		if api.Valid(problems) != tt.valid {
			t.Errorf("%s: %v", name, problems)
		}
	}
}
