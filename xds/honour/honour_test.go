package honour

import (
	"testing"

	"google.golang.org/protobuf/reflect/protoregistry"

	_ "github.com/envoyproxy/go-control-plane/contrib/envoy/extensions/load_balancing_policies/peak_ewma/v3alpha"

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
	}
}
