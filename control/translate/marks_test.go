package translate

import (
	"testing"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/mesh"
)

func TestLabelsThatAskForInjection(t *testing.T) {
	o := api.Object{Kind: api.Find(api.GroupCore, "Namespace"), Meta: api.Meta{Name: "shop", Labels: map[string]string{"istio-injection": "enabled", "istio.io/rev": "x", "istio.io/use-waypoint": "w"}}}
	if got := Marks(o, &mesh.Settings{}); len(got) != 3 {
		t.Errorf("without injection none of the three is honoured: %v", got)
	}
	if got := Marks(o, &mesh.Settings{Injects: true}); len(got) != 1 || got[0].Field != `metadata.labels["istio.io/use-waypoint"]` {
		t.Errorf("with injection only the waypoint is not honoured: %v", got)
	}
	if len(o.Meta.Labels) != 3 {
		t.Error("the object was changed")
	}
}
