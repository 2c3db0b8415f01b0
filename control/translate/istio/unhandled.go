package istio

import (
	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/mesh"
)

// unhandled says what follows from a kind that nothing reads yet.
var unhandled = map[string]string{
	"WasmPlugin":            "the plug-in is not run",
	"TrafficExtension":      "the extension is not run",
	"RequestAuthentication": "tokens are not checked",
}

// Unhandled answers an object of a kind that nothing reads yet with one Problem; where it would have protected something, its workloads deny.
func Unhandled(o api.Object, in Lookup) ([]*mesh.Denial, []mesh.Problem) {
	v := open(o, in)
	v.NotEnforced("", "%s is not honoured yet: %s", o.Kind.Kind, unhandled[o.Kind.Kind])
	return v.security("it protects something that cannot be known"), v.Problems()
}
