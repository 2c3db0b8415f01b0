package patch

import (
	"errors"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/proto"

	"github.com/heddle-mesh/heddle/control/compile/view"
	"github.com/heddle-mesh/heddle/mesh"
)

var errRenamed = errors.New("a resource keeps its name: leave the name out of the value")

// added is a resource that a patch adds by itself: that of the first one which the proxy can honour.
func added[M proto.Message](r *run, patches []*mesh.Patch, make func(*mesh.Patch) M) (none M) {
	for _, p := range patches {
		if !adds(p) {
			continue
		}
		r.v.Applied(p)
		r.v.From(p.Origin)
		if problems := unhonoured(r.v, p); len(problems) > 0 {
			tell(r.v, p, problems)
			continue
		}
		return make(p)
	}
	return none
}

// taken says to the author of a patch that there is something of the name already.
func taken(v *view.View, p *mesh.Patch, what string) {
	v.Applied(p)
	v.Notice(mesh.Problem{Object: p.Origin, Field: p.Path + ".patch.value.name", Code: mesh.CodeConflict,
		Message: "there is a " + what + " of the name " + p.Names + " already, so it is not added", Hint: "use another name, or MERGE"})
}

// Extension is the configuration of a filter that asks for it by name (config_discovery); nil when no patch defines it. Of several of a name the last counts: one in the proxy's namespace goes
// before one in the root namespace.
func Extension(v *view.View, name string) *corev3.TypedExtensionConfig {
	var out *corev3.TypedExtensionConfig
	for _, p := range v.Patches(view.Extensions, name) {
		v.Applied(p)
		if problems := unhonoured(v, p); len(problems) > 0 {
			tell(v, p, problems)
			continue
		}
		if p.Operation == mesh.PatchReplace && out == nil {
			continue // there is nothing that it could take the place of
		}
		v.From(p.Origin)
		out = value[corev3.TypedExtensionConfig](p)
	}
	return out
}
