package listener

import (
	"github.com/heddle-mesh/heddle/control/compile/filter"
	"github.com/heddle-mesh/heddle/control/compile/view"
	"github.com/heddle-mesh/heddle/mesh"
)

// lookedUp has the server name of connections looked up that go to a service by it.
func lookedUp(v *view.View, to *filter.Share, host mesh.Host, port uint16) {
	s, ok := v.Resolve(host)
	if !ok || s.Resolution != mesh.ClientNames || !v.Can(mesh.FeatureClientNames) {
		return
	}
	to.Names, to.NamePort = filter.ClientNames(host, v.Family()), port
}
