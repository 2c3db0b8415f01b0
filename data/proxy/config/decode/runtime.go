package decode

import (
	"maps"
	"slices"
	"strings"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	"google.golang.org/protobuf/types/known/structpb"
)

// The keys of runtime that there are; NAME is a listener's.
const (
	limitPrefix, limitSuffix = "envoy.resource_limits.listener.", ".connection_limit"
	globalLimit              = "overload.global_downstream_max_connections"
)

// runtime reads the static layers; of several that say something of a key the last counts. Limits of listeners are noted for their decoding.
func (r *read) runtime(path string, m *bootstrapv3.LayeredRuntime) (global uint64) {
	for i, layer := range m.GetLayers() {
		p := at(path, "layers", i)
		if layer.GetStaticLayer() == nil {
			r.add(p+".static_layer", "it is missing")
		}
		keys := map[string]*structpb.Value{}
		flatten("", layer.GetStaticLayer(), keys)
		for _, key := range slices.Sorted(maps.Keys(keys)) {
			n, number := keys[key].GetKind().(*structpb.Value_NumberValue)
			listener, ok := strings.CutPrefix(key, limitPrefix)
			listener, limits := strings.CutSuffix(listener, limitSuffix)
			switch {
			case key != globalLimit && !(ok && limits):
				r.add(p+".static_layer."+key, "there is no such key; only limits of connections are read")
			case !number || n.NumberValue < 1 || n.NumberValue > 1<<32-1 || n.NumberValue != float64(uint32(n.NumberValue)):
				r.add(p+".static_layer."+key, "want a number from 1 on")
			case key == globalLimit:
				global = uint64(n.NumberValue)
			default:
				r.limits[listener] = uint32(n.NumberValue)
			}
		}
	}
	return global
}

// flatten writes a key in dots, whether it was written so or as objects in objects.
func flatten(prefix string, s *structpb.Struct, into map[string]*structpb.Value) {
	for k, v := range s.GetFields() {
		if inner := v.GetStructValue(); inner != nil {
			flatten(join(prefix, k), inner, into)
			continue
		}
		into[join(prefix, k)] = v
	}
}
