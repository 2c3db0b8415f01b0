package patch

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/heddle-mesh/heddle/control/compile/view"
	"github.com/heddle-mesh/heddle/mesh"
	"github.com/heddle-mesh/heddle/xds/honour"
)

// messages are the types of the values.
var messages = map[mesh.PatchTarget]protoreflect.FullName{
	mesh.PatchListener: "envoy.config.listener.v3.Listener", mesh.PatchListenerFilter: "envoy.config.listener.v3.ListenerFilter",
	mesh.PatchFilterChain: "envoy.config.listener.v3.FilterChain", mesh.PatchNetworkFilter: "envoy.config.listener.v3.Filter",
	mesh.PatchHTTPFilter:         "envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter",
	mesh.PatchRouteConfiguration: "envoy.config.route.v3.RouteConfiguration", mesh.PatchVirtualHost: "envoy.config.route.v3.VirtualHost",
	mesh.PatchHTTPRoute: "envoy.config.route.v3.Route", mesh.PatchCluster: "envoy.config.cluster.v3.Cluster",
	mesh.PatchExtension: "envoy.config.core.v3.TypedExtensionConfig",
}

// unhonoured is what of a patch the proxy cannot do: nothing of it for stock Envoy; for heddle-proxy what its table does not list.
func unhonoured(v *view.View, p *mesh.Patch) []honour.Problem {
	if v.Can(mesh.FeatureExtensions) {
		return nil
	}
	if !v.Can(mesh.FeaturePatch) {
		return []honour.Problem{{Reason: "this build takes no patches"}}
	}
	if p.Value == nil {
		return nil
	}
	t, err := protoregistry.GlobalTypes.FindMessageByName(messages[p.Target])
	if err != nil {
		return []honour.Problem{{Reason: err.Error()}}
	}
	m := t.New()
	if err := proto.Unmarshal(p.Value, m.Interface()); err != nil {
		return []honour.Problem{{Reason: err.Error()}}
	}
	problems := honour.Check("", m)
	slices.SortFunc(problems, func(a, b honour.Problem) int { return strings.Compare(a.String(), b.String()) })
	return problems
}

// tell says to the author of a patch that some proxies leave it out, and what that means for what it guards.
func tell(v *view.View, p *mesh.Patch, problems []honour.Problem) {
	const most = 4
	for i, x := range problems {
		if i == most {
			break
		}
		n := mesh.Problem{
			Object: p.Origin, Field: strings.TrimSuffix(p.Path+".patch.value."+x.Path, "."), Code: mesh.CodeNotEnforced,
			Message: "heddle-proxy cannot honour it (" + x.Reason + "), so the patch is left out there", Hint: "run the workload with stock Envoy, or leave the field out",
		}
		if p.Guards {
			n.Code = mesh.CodeDenied
			n.Message = "heddle-proxy cannot honour it (" + x.Reason + "), and it takes part in authentication, authorization or TLS: what the patch matches is closed there"
		}
		v.Notice(n)
	}
}

// refused says to the author of a patch that Envoy would refuse what comes of it, and what that means for what it guards.
func refused(v *view.View, p *mesh.Patch, err error) {
	n := mesh.Problem{
		Object: p.Origin, Field: p.Path, Code: mesh.CodeUnsupported, Message: "the patch is left out, because of what would come of it: " + err.Error(),
		Hint: "compare the patch with the resource in the proxy's /config_dump",
	}
	if p.Guards {
		n.Code = mesh.CodeDenied
		n.Message += "; it takes part in authentication, authorization or TLS, so what it matches is closed"
	}
	v.Notice(n)
}
