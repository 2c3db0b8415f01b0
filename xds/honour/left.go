package honour

import (
	"slices"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
)

// toRoutes are the filters that may be switched off but for the routes that say something of them.
var toRoutes = []protoreflect.FullName{"envoy.extensions.filters.http.stateful_session.v3.StatefulSession", "envoy.extensions.filters.http.filter_chain.v3.FilterChainConfig"}

// leftToRoutes refuses other filters, and a filter of which it is not said here what it is. It looks at an HttpFilter.
func leftToRoutes(m protoreflect.Message) string {
	fields := m.Descriptor().Fields()
	config, _ := m.Get(fields.ByName("typed_config")).Message().Interface().(*anypb.Any)
	if !m.Get(fields.ByName("disabled")).Bool() || slices.Contains(toRoutes, config.MessageName()) {
		return ""
	}
	return "such a filter cannot be left to the routes"
}
