package filter

import (
	"cmp"
	"slices"
	"time"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	mutationv3 "github.com/envoyproxy/go-control-plane/envoy/config/common/mutation_rules/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	datav3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	alsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/grpc/v3"
	grpcstatsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/grpc_stats/v3"
	headerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/header_mutation/v3"
	tometadatav3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/header_to_metadata/v3"
	codecv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/upstream_codec/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tcpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	tagv3 "github.com/envoyproxy/go-control-plane/envoy/type/tracing/v3"

	"github.com/heddle-mesh/heddle/control/compile/message"
	"github.com/heddle-mesh/heddle/control/compile/view"
	"github.com/heddle-mesh/heddle/mesh"
	"github.com/heddle-mesh/heddle/telemetry"
	"github.com/heddle-mesh/heddle/telemetry/attribute"
)

// A stock Envoy has no filter for Istio's metrics. It tells the agent beside it of each request and connection, with all that the labels need, and the agent counts. What workloads say of
// themselves goes between them in Istio's headers, as with heddle-proxy: into calls by the clusters of the mesh, into answers by the listeners that end the mesh's TLS.

// The names that Envoy gives to filters, and Istio to headers.
const (
	grpcStatsName        = "envoy.filters.http.grpc_stats"
	headerToMetadataName = "envoy.filters.http.header_to_metadata"
	headerMutationName   = "envoy.filters.http.header_mutation"

	peerHeader   = "x-envoy-peer-metadata"
	peerIDHeader = "x-envoy-peer-metadata-id"
)

// entryInterval is how often is told what goes on (Istio's tcpReportingDuration).
const entryInterval = 5 * time.Second

// entryTags are what an entry says, by Envoy's operators.
var entryTags = []struct{ name, operator string }{
	{telemetry.TagServices, "%CLUSTER_METADATA(istio:services)%"},
	{telemetry.TagWorkload, "%UPSTREAM_METADATA(istio:workload)%"},
	{telemetry.TagDownstreamPeer, "%DOWNSTREAM_PEER_URI_SAN%"},
	{telemetry.TagDownstreamLocal, "%DOWNSTREAM_LOCAL_URI_SAN%"},
	{telemetry.TagUpstreamPeer, "%UPSTREAM_PEER_URI_SAN%"},
	{telemetry.TagUpstreamLocal, "%UPSTREAM_LOCAL_URI_SAN%"},
	{telemetry.TagFlags, "%RESPONSE_FLAGS%"},
}

// httpEntryTags are what is said of requests alone.
var httpEntryTags = []struct{ name, operator string }{
	{telemetry.TagPeer, "%DYNAMIC_METADATA(" + telemetry.PeerNamespace + ":" + telemetry.PeerKey + ")%"},
	{telemetry.TagContentType, "%REQ(CONTENT-TYPE)%"},
	{telemetry.TagGRPCStatus, "%GRPC_STATUS_NUMBER%"},
	{telemetry.TagMilliseconds, "%DURATION%"},
}

// entries is where and what Envoy tells.
func entries(v *view.View, side mesh.Side, http bool) (c *alsv3.CommonGrpcAccessLogConfig, every time.Duration) {
	o, every, _ := v.Metrics(side, !http)
	c = &alsv3.CommonGrpcAccessLogConfig{
		LogName: telemetry.EntriesOutbound, TransportApiVersion: corev3.ApiVersion_V3, BufferFlushInterval: message.Duration(time.Second),
		GrpcService: &corev3.GrpcService{TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{ClusterName: "sds-grpc"}}},
	}
	if side == mesh.ServerSide {
		c.LogName = telemetry.EntriesInbound
	}
	c.LogName = o.LogName(c.LogName)
	tags := entryTags
	if http {
		tags = append(tags[:len(tags):len(tags)], httpEntryTags...)
		c.FilterStateObjectsToLog = []string{grpcStatsName}
	}
	for _, t := range tags {
		c.CustomTags = append(c.CustomTags, &tagv3.CustomTag{Tag: t.name, Type: &tagv3.CustomTag_Value{Value: t.operator}})
	}
	for _, name := range attributes(o) {
		c.CustomTags = append(c.CustomTags, &tagv3.CustomTag{Tag: telemetry.TagAttribute(name), Type: &tagv3.CustomTag_Value{Value: "%CEL(" + name + ")%"}})
	}
	return c, cmp.Or(every, entryInterval)
}

// attributes are those that expressions are of, ordered and each once. The agent evaluates them: Envoy's formatter has fewer functions than Istio's filter, which string() is one of.
func attributes(o telemetry.Overrides) (out []string) {
	for _, text := range o.Expressions() {
		uses, _ := attribute.Uses(text) // one that cannot be read was told then
		for _, name := range uses {
			out = append(out, name.String())
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// TellHTTP has a connection manager tell of its requests, and hear what peers say of themselves. mutual says that the mesh's TLS ends here.
func TellHTTP(v *view.View, c *hcmv3.HttpConnectionManager, side mesh.Side, mutual bool) {
	if !v.Can(mesh.FeatureEntries) {
		if f := metrics(v, side, false); f != nil {
			last := len(c.HttpFilters) - 1 // the router
			c.HttpFilters = append(c.HttpFilters[:last:last], http(statsName, f), c.HttpFilters[last])
		}
		return
	}
	atEnd(c.AccessLog, datav3.AccessLogType_DownstreamEnd)
	told, every := entries(v, side, true)
	c.AccessLog = append(c.AccessLog, logTo("envoy.access_loggers.http_grpc", &alsv3.HttpGrpcAccessLogConfig{CommonConfig: told}))
	c.AccessLogOptions = &hcmv3.HttpConnectionManager_HcmAccessLogOptions{AccessLogFlushInterval: message.Duration(every)}
	filters := []*hcmv3.HttpFilter{http(grpcStatsName, &grpcstatsv3.FilterConfig{EmitFilterState: true, PerMethodStatSpecifier: &grpcstatsv3.FilterConfig_StatsForAllMethods{StatsForAllMethods: message.False()}})}
	rule := func(header, key string) *tometadatav3.Config_Rule {
		return &tometadatav3.Config_Rule{Header: header, Remove: true, OnHeaderPresent: &tometadatav3.Config_KeyValuePair{MetadataNamespace: telemetry.PeerNamespace, Key: key}}
	}
	heard := []*tometadatav3.Config_Rule{rule(peerHeader, telemetry.PeerKey), rule(peerIDHeader, "id")}
	if side == mesh.ServerSide {
		filters = append(filters, http(headerToMetadataName, &tometadatav3.Config{RequestRules: heard}))
		if mutual {
			filters = append(filters, http(headerMutationName, &headerv3.HeaderMutation{Mutations: &headerv3.Mutations{ResponseMutations: introduction()}}))
		}
	} else {
		// What the application says of itself is not believed, and does not leave.
		filters = append(filters, http(headerToMetadataName, &tometadatav3.Config{ResponseRules: heard}), http(headerMutationName, &headerv3.HeaderMutation{Mutations: &headerv3.Mutations{RequestMutations: silence()}}))
	}
	c.HttpFilters = append(filters, c.HttpFilters...)
}

// TellTCP has a TCP proxy tell of its connections.
func TellTCP(v *view.View, p *tcpv3.TcpProxy, side mesh.Side) {
	if !v.Can(mesh.FeatureEntries) {
		return
	}
	atEnd(p.AccessLog, datav3.AccessLogType_TcpConnectionEnd)
	told, every := entries(v, side, false)
	p.AccessLog = append(p.AccessLog, logTo("envoy.access_loggers.tcp_grpc", &alsv3.TcpGrpcAccessLogConfig{CommonConfig: told}))
	// Envoy connects to the application while its client's handshake goes on, so that it is not known yet who that is.
	p.AccessLogOptions = &tcpv3.TcpProxy_TcpAccessLogOptions{AccessLogFlushInterval: message.Duration(every), FlushAccessLogOnConnected: side == mesh.ClientSide}
}

// atEnd keeps logs for users to the end of a request or connection: what goes on meanwhile is told to the agent alone.
func atEnd(logs []*accesslogv3.AccessLog, end datav3.AccessLogType) {
	of := &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_LogTypeFilter{LogTypeFilter: &accesslogv3.LogTypeFilter{Types: []datav3.AccessLogType{end}}}}
	for _, l := range logs {
		if l.Filter != nil {
			l.Filter = &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_AndFilter{AndFilter: &accesslogv3.AndFilter{Filters: []*accesslogv3.AccessLogFilter{of, l.Filter}}}}
		} else {
			l.Filter = of
		}
	}
}

// introduction says who the workload is.
func introduction() []*mutationv3.HeaderMutation {
	say := func(header, variable string) *mutationv3.HeaderMutation {
		return &mutationv3.HeaderMutation{Action: &mutationv3.HeaderMutation_Append{Append: &corev3.HeaderValueOption{
			Header: &corev3.HeaderValue{Key: header, Value: "%ENVIRONMENT(" + variable + ")%"}, AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
		}}}
	}
	return []*mutationv3.HeaderMutation{say(peerHeader, telemetry.PeerVariable), say(peerIDHeader, telemetry.PeerIDVariable)}
}

func silence() (out []*mutationv3.HeaderMutation) {
	for _, h := range []string{peerHeader, peerIDHeader} {
		out = append(out, &mutationv3.HeaderMutation{Action: &mutationv3.HeaderMutation_Remove{Remove: h}})
	}
	return out
}

// Introducing are the filters of a cluster of the mesh, whose servers are told who calls.
func Introducing() []*hcmv3.HttpFilter {
	return []*hcmv3.HttpFilter{
		http(headerMutationName, &headerv3.HeaderMutation{Mutations: &headerv3.Mutations{RequestMutations: introduction()}}),
		http("envoy.filters.http.upstream_codec", &codecv3.UpstreamCodec{}),
	}
}
