package translate_test

import (
	"strings"
	"testing"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/translate"
	"github.com/heddle-mesh/heddle/control/translate/world"
)

// TestHandled: the table of kinds calls those handled that have a meaning, because the first snapshot waits for them.
func TestHandled(t *testing.T) {
	for _, k := range api.Kinds {
		if !k.Istio() && !k.Gateway() {
			continue
		}
		o := api.Object{Kind: k, Meta: api.Meta{Name: "n", Namespace: "shop"}, Spec: k.NewSpec(), Read: true}
		handled := true
		for _, p := range translate.Object(o, nil, world.New(settings, nil)).Problems {
			if strings.HasPrefix(p.Message, k.Kind+" is not honoured yet: ") {
				handled = false
			}
		}
		if k.Handled != handled {
			t.Errorf("%s: handled is %v in the table, and %v in truth", k.Name(), k.Handled, handled)
		}
	}
}
