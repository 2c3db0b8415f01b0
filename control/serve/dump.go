package serve

import (
	"encoding/json"
	"slices"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/heddle-mesh/heddle/xds"
)

const admin = "type.googleapis.com/envoy.admin.v3."

// object is a JSON object with the names that Envoy's /config_dump uses.
type object map[string]any

// held copies what the proxy was told to hold of a type.
func (c *conn) held(typeURL string) []*xds.Resource {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Collect(c.session.Held(typeURL))
}

// configDump is what the proxy was told to hold, in the shape of envoy.admin.v3.ConfigDump. Virtual hosts that were sent one by one stand in their route
// configuration; of secrets only the names are told.
func (c *conn) configDump() any {
	var clusters, listeners, routes, secrets []object
	for _, r := range c.held(xds.Cluster) {
		clusters = append(clusters, object{"version_info": r.Version, "cluster": readable(r)})
	}
	for _, r := range c.held(xds.Listener) {
		listeners = append(listeners, object{"name": r.Name.Name, "active_state": object{"version_info": r.Version, "listener": readable(r)}})
	}
	hosts := map[string][]any{}
	for _, r := range c.held(xds.VirtualHost) {
		if route, ok := xds.RouteOf(r.Name.Name); ok {
			hosts[route] = append(hosts[route], readable(r))
		}
	}
	for _, r := range c.held(xds.Route) {
		config := readable(r)
		if more := hosts[r.Name.Name]; len(more) > 0 {
			own, _ := config["virtual_hosts"].([]any)
			config["virtual_hosts"] = append(own, more...)
		}
		routes = append(routes, object{"version_info": r.Version, "route_config": config})
	}
	for _, r := range c.held(xds.Secret) {
		secrets = append(secrets, object{"name": r.Name.Name, "version_info": r.Version})
	}
	return object{"configs": []object{
		{"@type": admin + "ClustersConfigDump", "dynamic_active_clusters": clusters},
		{"@type": admin + "ListenersConfigDump", "dynamic_listeners": listeners},
		{"@type": admin + "RoutesConfigDump", "dynamic_route_configs": routes},
		{"@type": admin + "EndpointsConfigDump", "dynamic_endpoint_configs": c.endpoints()},
		{"@type": admin + "SecretsConfigDump", "dynamic_active_secrets": secrets},
	}}
}

func (c *conn) endpoints() []object {
	all := []object{}
	for _, r := range c.held(xds.Endpoints) {
		all = append(all, object{"version_info": r.Version, "endpoint_config": readable(r)})
	}
	return all
}

// readable is a resource as JSON with its @type. Bytes whose type this program does not know stay as they are (base64).
func readable(r *xds.Resource) object {
	out := object{"@type": r.Name.TypeURL, "name": r.Name.Name}
	if r.Body == nil {
		return out // told by version only, on an earlier stream
	}
	b, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(&anypb.Any{TypeUrl: r.Name.TypeURL, Value: r.Body})
	if err == nil {
		var full object
		if json.Unmarshal(b, &full) == nil {
			return full
		}
	}
	out["value"] = r.Body
	return out
}
