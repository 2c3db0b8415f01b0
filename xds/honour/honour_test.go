package honour

import (
	"slices"
	"strings"
	"testing"

	corsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/cors/v3"
	sessionv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/stateful_session/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/anypb"

	_ "github.com/envoyproxy/go-control-plane/contrib/envoy/extensions/load_balancing_policies/peak_ewma/v3alpha"

	_ "istio.io/api/envoy/extensions/stats"

	_ "github.com/heddle-mesh/heddle/xds/catalog"
)

func TestEveryCheckIsOfAnHonouredField(t *testing.T) {
	for name, r := range honoured {
		mt, err := protoregistry.GlobalTypes.FindMessageByName(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, c := range r.values {
			if mt.Descriptor().Fields().ByName(c.field) == nil || !r.fields[c.field] {
				t.Errorf("%s: a value of %s is checked but the field is not honoured", name, c.field)
			}
		}
		for _, c := range r.together {
			top, _, _ := strings.Cut(string(c.field), ".") // what is checked may be below it
			if field := protoreflect.Name(top); mt.Descriptor().Fields().ByName(field) == nil || !r.fields[field] {
				t.Errorf("%s: %s is checked beside other fields but is not honoured", name, c.field)
			}
		}
	}
}

// TestFiltersLeftToRoutes: few filters may be switched off but for routes, and it must be said which one it is.
func TestFiltersLeftToRoutes(t *testing.T) {
	of := func(m proto.Message, disabled bool) *hcmv3.HttpFilter {
		f := &hcmv3.HttpFilter{Name: "f", Disabled: disabled}
		if m != nil {
			f.ConfigType = &hcmv3.HttpFilter_TypedConfig{TypedConfig: &anypb.Any{}}
			if err := f.GetTypedConfig().MarshalFrom(m); err != nil {
				t.Fatal(err)
			}
		}
		return f
	}
	for name, c := range map[string]struct {
		filter  *hcmv3.HttpFilter
		refused bool
	}{
		"sessions, off": {of(&sessionv3.StatefulSession{}, true), false}, "cors, on": {of(&corsv3.Cors{}, false), false}, "cors, off": {of(&corsv3.Cors{}, true), true}, "any, off": {of(nil, true), true},
	} {
		problems := Check("", c.filter.ProtoReflect())
		if c.refused != slices.ContainsFunc(problems, func(p Problem) bool { return p.Path == "disabled" }) {
			t.Errorf("%s: %v", name, problems)
		}
	}
}
