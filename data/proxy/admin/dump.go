package admin

import (
	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/heddle-mesh/heddle/data/proxy/config/live"
	"github.com/heddle-mesh/heddle/xds"
)

func (s *Server) dumpBootstrap() proto.Message {
	b := &bootstrapv3.Bootstrap{}
	if s.Bootstrap == nil || s.Bootstrap.unpack(b) != nil {
		b = &bootstrapv3.Bootstrap{Node: s.Node}
	}
	return &adminv3.BootstrapConfigDump{Bootstrap: b}
}

// resource is a resource's bytes as an Any, nil when there are none or when it holds types that are not linked here, which no page could print.
func resource(x live.Resource) *anypb.Any {
	if x.Body == nil {
		return nil
	}
	return printable(&anypb.Any{TypeUrl: x.Name.TypeURL, Value: x.Body})
}

func printable(a *anypb.Any) *anypb.Any {
	if _, err := protojson.Marshal(a); err != nil {
		return nil
	}
	return a
}

func failure(x live.Resource) *adminv3.UpdateFailureState {
	if x.Fault == nil {
		return nil
	}
	return &adminv3.UpdateFailureState{
		Details: x.Fault.Reason, VersionInfo: x.Fault.Version, LastUpdateAttempt: timestamppb.New(x.Fault.At),
		FailedConfiguration: printable(&anypb.Any{TypeUrl: x.Name.TypeURL, Value: x.Fault.Body}),
	}
}

func (s *Server) dumpClusters() proto.Message {
	out := &adminv3.ClustersConfigDump{}
	for _, x := range s.Live.Dump(xds.Cluster) {
		if x.Static {
			out.StaticClusters = append(out.StaticClusters, &adminv3.ClustersConfigDump_StaticCluster{Cluster: resource(x), LastUpdated: timestamppb.New(x.Updated)})
			continue
		}
		c := &adminv3.ClustersConfigDump_DynamicCluster{VersionInfo: x.Version, Cluster: resource(x), LastUpdated: timestamppb.New(x.Updated), ErrorState: failure(x), ClientStatus: status(x)}
		if x.State == live.Warming {
			out.DynamicWarmingClusters = append(out.DynamicWarmingClusters, c)
		} else {
			out.DynamicActiveClusters = append(out.DynamicActiveClusters, c)
		}
	}
	return out
}

func status(x live.Resource) adminv3.ClientResourceStatus {
	switch {
	case x.Fault != nil:
		return adminv3.ClientResourceStatus_NACKED
	case x.Body == nil:
		return adminv3.ClientResourceStatus_DOES_NOT_EXIST
	}
	return adminv3.ClientResourceStatus_ACKED
}

func (s *Server) dumpListeners() proto.Message {
	out := &adminv3.ListenersConfigDump{}
	dynamic := map[string]*adminv3.ListenersConfigDump_DynamicListener{}
	for _, x := range s.Live.Dump(xds.Listener) {
		if x.Static {
			out.StaticListeners = append(out.StaticListeners, &adminv3.ListenersConfigDump_StaticListener{Listener: resource(x), LastUpdated: timestamppb.New(x.Updated)})
			continue
		}
		d := dynamic[x.Name.Name]
		if d == nil {
			d = &adminv3.ListenersConfigDump_DynamicListener{Name: x.Name.Name}
			dynamic[x.Name.Name] = d
			out.DynamicListeners = append(out.DynamicListeners, d)
		}
		d.ErrorState, d.ClientStatus = failure(x), status(x)
		state := &adminv3.ListenersConfigDump_DynamicListenerState{VersionInfo: x.Version, Listener: resource(x), LastUpdated: timestamppb.New(x.Updated)}
		switch x.State {
		case live.Active:
			d.ActiveState = state
		case live.Warming:
			d.WarmingState = state
		}
	}
	return out
}

func (s *Server) dumpRoutes() proto.Message {
	hosts := map[string][]*routev3.VirtualHost{}
	for _, x := range s.Live.Dump(xds.VirtualHost) {
		h := &routev3.VirtualHost{}
		if route, ok := xds.RouteOf(x.Name.Name); ok && x.Body != nil && proto.Unmarshal(x.Body, h) == nil {
			hosts[route] = append(hosts[route], h)
		}
	}
	out := &adminv3.RoutesConfigDump{StaticRouteConfigs: s.inlineRoutes()}
	for _, x := range s.Live.Dump(xds.Route) {
		a := resource(x)
		if more := hosts[x.Name.Name]; len(more) > 0 && a != nil { // virtual hosts that came one by one are shown where they belong
			m := &routev3.RouteConfiguration{}
			if proto.Unmarshal(x.Body, m) == nil {
				m.VirtualHosts = append(m.VirtualHosts, more...)
				if whole, err := anypb.New(m); err == nil {
					a = printable(whole)
				}
			}
		}
		out.DynamicRouteConfigs = append(out.DynamicRouteConfigs, &adminv3.RoutesConfigDump_DynamicRouteConfig{
			VersionInfo: x.Version, RouteConfig: a, LastUpdated: timestamppb.New(x.Updated), ErrorState: failure(x), ClientStatus: status(x),
		})
	}
	return out
}

// inlineRoutes are the route configurations that stand in listeners.
func (s *Server) inlineRoutes() (out []*adminv3.RoutesConfigDump_StaticRouteConfig) {
	for _, x := range s.Live.Dump(xds.Listener) {
		l := &listenerv3.Listener{}
		if x.State != live.Active || x.Body == nil || proto.Unmarshal(x.Body, l) != nil {
			continue
		}
		for _, c := range append(l.GetFilterChains(), l.GetDefaultFilterChain()) {
			for _, f := range c.GetFilters() {
				m := &hcmv3.HttpConnectionManager{}
				if !f.GetTypedConfig().MessageIs(m) || f.GetTypedConfig().UnmarshalTo(m) != nil || m.GetRouteConfig() == nil {
					continue
				}
				if a, err := anypb.New(m.GetRouteConfig()); err == nil {
					out = append(out, &adminv3.RoutesConfigDump_StaticRouteConfig{RouteConfig: printable(a), LastUpdated: timestamppb.New(x.Updated)})
				}
			}
		}
	}
	return out
}

// inlineEndpoints are the endpoints that stand in clusters.
func (s *Server) inlineEndpoints() (out []*adminv3.EndpointsConfigDump_StaticEndpointConfig) {
	for _, x := range s.Live.Dump(xds.Cluster) {
		c := &clusterv3.Cluster{}
		if x.State != live.Active || x.Body == nil || proto.Unmarshal(x.Body, c) != nil || c.GetLoadAssignment() == nil {
			continue
		}
		if a, err := anypb.New(c.GetLoadAssignment()); err == nil {
			out = append(out, &adminv3.EndpointsConfigDump_StaticEndpointConfig{EndpointConfig: printable(a), LastUpdated: timestamppb.New(x.Updated)})
		}
	}
	return out
}

func (s *Server) dumpEndpoints() proto.Message {
	out := &adminv3.EndpointsConfigDump{StaticEndpointConfigs: s.inlineEndpoints()}
	for _, x := range s.Live.Dump(xds.Endpoints) {
		out.DynamicEndpointConfigs = append(out.DynamicEndpointConfigs, &adminv3.EndpointsConfigDump_DynamicEndpointConfig{
			VersionInfo: x.Version, EndpointConfig: resource(x), LastUpdated: timestamppb.New(x.Updated), ErrorState: failure(x), ClientStatus: status(x),
		})
	}
	return out
}

// dumpSecrets names the secrets. Keys are never shown; certificates are at /certs.
func (s *Server) dumpSecrets() proto.Message {
	out := &adminv3.SecretsConfigDump{}
	for _, x := range s.Live.Dump(xds.Secret) {
		out.DynamicActiveSecrets = append(out.DynamicActiveSecrets, &adminv3.SecretsConfigDump_DynamicSecret{
			Name: x.Name.Name, VersionInfo: x.Version, LastUpdated: timestamppb.New(x.Updated), ErrorState: redacted(x), ClientStatus: status(x),
		})
	}
	return out
}

func redacted(x live.Resource) *adminv3.UpdateFailureState {
	f := failure(x)
	if f != nil {
		f.FailedConfiguration = nil
	}
	return f
}
