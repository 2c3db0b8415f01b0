package cli

import (
	"strings"
	"testing"

	"github.com/heddle-mesh/heddle/platform/check"
)

func TestReportsOfCheck(t *testing.T) {
	findings := []check.Finding{
		{Category: "kubernetes-api", Description: "the API answers", Result: check.Success},
		{Category: "data-plane", Description: "every pod has a proxy", Result: check.Warning, Error: "none in shop/web", Hint: "start it again"},
		{Category: "data-plane", Description: "every proxy is ready", Result: check.Failure, Error: "not in shop/db", Hint: "look at its log"},
	}
	for name, want := range map[string]string{
		"": `kubernetes-api
--------------
√ the API answers

data-plane
----------
‼ every pod has a proxy
    none in shop/web
    hint: start it again
× every proxy is ready
    not in shop/db
    hint: look at its log

Status check results are ×
`,
		"short": `data-plane
----------
‼ every pod has a proxy
    none in shop/web
    hint: start it again
× every proxy is ready
    not in shop/db
    hint: look at its log
`,
		"json": `{
  "categories": [
    {
      "categoryName": "kubernetes-api",
      "checks": [
        {
          "description": "the API answers",
          "result": "success"
        }
      ]
    },
    {
      "categoryName": "data-plane",
      "checks": [
        {
          "description": "every pod has a proxy",
          "hint": "start it again",
          "error": "none in shop/web",
          "result": "warning"
        },
        {
          "description": "every proxy is ready",
          "hint": "look at its log",
          "error": "not in shop/db",
          "result": "error"
        }
      ]
    }
  ],
  "success": false
}
`,
	} {
		var b strings.Builder
		r := reports(&b)[name]
		for _, f := range findings {
			r.tell(f)
		}
		if err := r.end(false); err != nil || b.String() != want {
			t.Errorf("-o %s gives\n%s%v", name, b.String(), err)
		}
	}
}
