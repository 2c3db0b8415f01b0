package listener

import (
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"

	"github.com/heddle-mesh/heddle/control/compile/filter"
	"github.com/heddle-mesh/heddle/control/compile/message"
	"github.com/heddle-mesh/heddle/control/compile/route"
	"github.com/heddle-mesh/heddle/control/compile/view"
)

// grpcListener is what a gRPC client asks for under its target's name HOST:PORT (gRFC A27): no address, only where its routes are.
func grpcListener(v *view.View, name string) *listenerv3.Listener {
	if _, ok := route.Hosts(v, name); !ok {
		return nil
	}
	return &listenerv3.Listener{Name: name, ApiListener: &listenerv3.ApiListener{ApiListener: message.Any(&hcmv3.HttpConnectionManager{
		RouteSpecifier: &hcmv3.HttpConnectionManager_Rds{Rds: &hcmv3.Rds{ConfigSource: message.ADS(), RouteConfigName: name}},
		HttpFilters:    []*hcmv3.HttpFilter{filter.Fault(), filter.Router(false)},
	})}}
}
