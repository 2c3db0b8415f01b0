package decode

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Of names that clients give.
const (
	namesPkg     = "envoy.extensions."
	namedCluster = namesPkg + "clusters.dynamic_forward_proxy.v3.ClusterConfig"
)

func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// certPEM and otherPEM are self-signed certificates of one key, which is written in two ways.
var certPEM, otherPEM, keyPEM, otherKeyPEM, revokedPEM = pair()

func pair() (cert, other, key, otherKey, revoked string) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	text := func(kind string, b []byte, err error) string {
		if err != nil {
			panic(err)
		}
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}))
	}
	make := func(serial int64) string {
		t := &x509.Certificate{SerialNumber: big.NewInt(serial), NotAfter: time.Now().Add(time.Hour), SubjectKeyId: []byte{1}}
		der, err := x509.CreateCertificate(rand.Reader, t, t, k.Public(), k)
		return text("CERTIFICATE", der, err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(k)
	key = text("PRIVATE KEY", pkcs8, err)
	sec1, failed := x509.MarshalECPrivateKey(k)
	list, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now(), NextUpdate: time.Now().Add(time.Hour)},
		&x509.Certificate{KeyUsage: x509.KeyUsageCRLSign, SubjectKeyId: []byte{1}}, k)
	return make(1), make(20000), key, text("EC PRIVATE KEY", sec1, failed), text("X509 CRL", list, err)
}

// inAny is a message inside an Any.
func inAny(name, body string) string {
	if body = strings.TrimSpace(body); body == "{}" {
		return `{"@type": "type.googleapis.com/` + name + `"}`
	}
	return `{"@type": "type.googleapis.com/` + name + `", ` + body[1:]
}

const (
	hcm     = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
	router  = "envoy.extensions.filters.http.router.v3.Router"
	tlsPkg  = "envoy.extensions.transport_sockets.tls.v3."
	route   = `{"match": {"prefix": "/p"}, "route": {"cluster": "c"}}`
	oneHost = `{"name": "h", "domains": ["a.test"], "routes": [` + route + `]}`
)

var (
	certificate = `{"certificateChain": {"inlineString": ` + quote(certPEM) + `}, "privateKey": {"inlineString": ` + quote(keyPEM) + `}}`
	trusted     = `{"trustedCa": {"inlineString": ` + quote(certPEM) + `}}`
	httpFilters = `{"name": "s", "typedConfig": ` + inAny(sessionPkg+"StatefulSession", `{"sessionState": `+headerSession+`}`) + `}, {"name": "c", "typedConfig": ` + inAny("envoy.extensions.filters.http.cors.v3.Cors", `{}`) + `}, {"name": "f", "typedConfig": ` + inAny("envoy.extensions.filters.http.fault.v3.HTTPFault", `{}`) + `},
		{"name": "b", "typedConfig": ` + inAny("envoy.extensions.filters.http.rbac.v3.RBAC", `{}`) + `}`
	manager     = `{"routeConfig": {"name": "r"}, "httpFilters": [` + httpFilters + `, {"name": "router", "typedConfig": ` + inAny(router, `{}`) + `}]}`
	filter      = `{"name": "f", "typedConfig": ` + inAny(hcm, manager) + `}`
	chain       = `{"filters": [` + filter + `]}`
	upstreamTLS = `{"name": "t", "typedConfig": ` + inAny(tlsPkg+"UpstreamTlsContext", `{"sni": "a.test"}`) + `}`
	adsCluster  = `{"name": "xds", "type": "STATIC", "typedExtensionProtocolOptions": {"` + httpProtocolOptions + `": ` + inAny(httpProtocolOptions, `{"explicitHttpConfig": {"http2ProtocolOptions": {}}}`) + `}, "loadAssignment": {"clusterName": "xds", "endpoints": [{"lbEndpoints": [{"endpoint": {"address": {"socketAddress": {"address": "10.0.0.1", "portValue": 15010}}}}]}]}}`
)

// samples are valid messages to begin with.
var samples = map[string]struct{ message, json string }{
	"listener": {"envoy.config.listener.v3.Listener", `{"name": "l", "address": {"socketAddress": {"address": "10.0.0.1", "portValue": 80}}, "filterChains": [` + chain + `]}`},
	"tcp listener": {"envoy.config.listener.v3.Listener", `{"name": "l", "address": {"socketAddress": {"address": "10.0.0.1", "portValue": 80}}, "filterChains": [{"filters": [
		{"name": "r", "typedConfig": ` + inAny("envoy.extensions.filters.network.rbac.v3.RBAC", `{"statPrefix": "y"}`) + `},
		{"name": "t", "typedConfig": ` + inAny("envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", `{"cluster": "c"}`) + `}]}]}`},
	"listener tracing": {"envoy.config.listener.v3.Listener", `{"name": "l", "address": {"socketAddress": {"address": "10.0.0.1", "portValue": 80}}, "filterChains": [{"filters": [{"name": "f", "typedConfig": ` +
		inAny(hcm, `{"requestIdExtension": {"typedConfig": `+inAny("envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig", `{"useRequestIdForTraceSampling": false}`)+`}, "tracing": {"provider": {"name": "p", "typedConfig": `+inAny("envoy.config.trace.v3.OpenTelemetryConfig", `{"httpService": {"httpUri": {"uri": "http://c/v1", "cluster": "c", "timeout": "1s"}}, "resourceDetectors": [{"name": "e", "typedConfig": `+inAny("envoy.extensions.tracers.opentelemetry.resource_detectors.v3.EnvironmentResourceDetectorConfig", `{}`)+`}]}`)+`}}, `+manager[1:]) + `}]}]}`},
	"udp listener": {"envoy.config.listener.v3.Listener", `{"name": "l", "address": {"socketAddress": {"protocol": "UDP", "address": "10.0.0.1", "portValue": 80}}, "udpListenerConfig": {"downstreamSocketConfig": {"maxRxDatagramSize": "9000"}},
		"listenerFilters": [{"name": "u", "typedConfig": ` + inAny("envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig", `{"statPrefix": "s", "cluster": "c", "hashPolicies": [{"sourceIp": true}], "upstreamSocketConfig": {"maxRxDatagramSize": "9000"}}`) + `}]}`},
	"udp entrance": {"envoy.config.listener.v3.Listener", `{"name": "l", "address": {"socketAddress": {"protocol": "UDP", "address": "0.0.0.0", "portValue": 80}},
		"listenerFilters": [{"name": "u", "typedConfig": ` + inAny("envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig", `{"statPrefix": "s", "cluster": "c"}`) + `}]}`},
	"udp matcher": {"envoy.config.listener.v3.Listener", `{"name": "l", "address": {"socketAddress": {"protocol": "UDP", "address": "10.0.0.1", "portValue": 80}},
		"listenerFilters": [{"name": "u", "typedConfig": ` + inAny("envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig", `{"statPrefix": "s", "matcher": {"onNoMatch": {"action": {"name": "r", "typedConfig": `+inAny("envoy.extensions.filters.udp.udp_proxy.v3.Route", `{"cluster": "c"}`)+`}}}}`) + `}]}`},
	"cluster":          {"envoy.config.cluster.v3.Cluster", `{"name": "c", "type": "STATIC"}`},
	"eds cluster":      {"envoy.config.cluster.v3.Cluster", `{"name": "c", "type": "EDS", "edsClusterConfig": {"edsConfig": {"ads": {}}}}`},
	"least cluster":    {"envoy.config.cluster.v3.Cluster", `{"name": "c", "type": "STRICT_DNS", "lbPolicy": "LEAST_REQUEST"}`},
	"ring cluster":     {"envoy.config.cluster.v3.Cluster", `{"name": "c", "type": "STATIC", "lbPolicy": "RING_HASH"}`},
	"maglev cluster":   {"envoy.config.cluster.v3.Cluster", `{"name": "c", "type": "STATIC", "lbPolicy": "MAGLEV"}`},
	"original cluster": {"envoy.config.cluster.v3.Cluster", `{"name": "c", "type": "ORIGINAL_DST", "lbPolicy": "CLUSTER_PROVIDED", "transportSocket": ` + upstreamTLS + `}`},
	"checked cluster": {"envoy.config.cluster.v3.Cluster", `{"name": "c", "type": "STATIC", "typedExtensionProtocolOptions": {"` + httpProtocolOptions + `": ` + inAny(httpProtocolOptions, `{"explicitHttpConfig": {"http2ProtocolOptions": {}}}`) + `},
		"healthChecks": [{"timeout": "1s", "interval": "5s", "unhealthyThreshold": 3, "healthyThreshold": 2, "grpcHealthCheck": {}}]}`},
	"named cluster": {"envoy.config.cluster.v3.Cluster", `{"name": "c", "lbPolicy": "CLUSTER_PROVIDED", "transportSocket": ` + upstreamTLS + `, "clusterType": {"name": "n", "typedConfig": ` +
		inAny(namedCluster, `{"allowInsecureClusterOptions": true, "dnsCacheConfig": {"name": "n", "dnsCacheCircuitBreaker": {"maxPendingRequests": 7}}}`) + `}}`},
	"listener names": {"envoy.config.listener.v3.Listener", `{"name": "l", "address": {"socketAddress": {"address": "10.0.0.1", "portValue": 80}}, "filterChains": [{"filters": [{"name": "h", "typedConfig": ` +
		inAny(hcm, strings.Replace(manager, `"httpFilters": [`, `"httpFilters": [{"name": "n", "typedConfig": `+inAny(namesPkg+"filters.http.dynamic_forward_proxy.v3.FilterConfig", `{"dnsCacheConfig": {"name": "n"}}`)+`}, `, 1)) + `}]}]}`},
	"named tcp listener": {"envoy.config.listener.v3.Listener", `{"name": "l", "address": {"socketAddress": {"address": "10.0.0.1", "portValue": 80}}, "filterChains": [{"filters": [
		{"name": "n", "typedConfig": ` + inAny(namesPkg+"filters.network.sni_dynamic_forward_proxy.v3.FilterConfig", `{"portValue": 443, "dnsCacheConfig": {"name": "n"}}`) + `},
		{"name": "t", "typedConfig": ` + inAny("envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", `{"cluster": "c"}`) + `}]}]}`},
	"assignment": {"envoy.config.endpoint.v3.ClusterLoadAssignment", `{"clusterName": "c"}`},
	"routes":     {"envoy.config.route.v3.RouteConfiguration", `{"name": "r"}`},
	"host":       {"envoy.config.route.v3.VirtualHost", oneHost},
	"secret":     {"envoy.extensions.transport_sockets.tls.v3.Secret", `{"name": "s", "validationContext": {"trustedCa": {"inlineString": ` + quote(certPEM) + `}, "crl": {"inlineString": ` + quote(revokedPEM) + `}}}`},
	"bootstrap": {"envoy.config.bootstrap.v3.Bootstrap", `{"staticResources": {"clusters": [{"name": "c", "type": "STATIC"}]}, "layeredRuntime": {"layers": [{"name": "l", "staticLayer": {"overload": {"global_downstream_max_connections": 20}}}]}, "overloadManager": {"refreshInterval": "2s",
		"resourceMonitors": [{"name": "envoy.resource_monitors.fixed_heap", "typedConfig": {"@type": "type.googleapis.com/envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig", "maxHeapSizeBytes": "1000"}},
			{"name": "envoy.resource_monitors.global_downstream_max_connections", "typedConfig": {"@type":
				"type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig", "maxActiveDownstreamConnections": "10"}}],
		"actions": [{"name": "envoy.overload_actions.stop_accepting_requests", "triggers": [{"name": "envoy.resource_monitors.fixed_heap", "scaled": {"scalingThreshold": 0.5, "saturationThreshold": 0.8}}]},
			{"name": "envoy.overload_actions.shrink_heap", "triggers": [{"name": "envoy.resource_monitors.fixed_heap", "threshold": {"value": 0.9}}]}]}}`},
	"ads bootstrap": {"envoy.config.bootstrap.v3.Bootstrap", `{"staticResources": {"clusters": [` + adsCluster + `]},
		"dynamicResources": {"adsConfig": {"apiType": "DELTA_GRPC", "transportApiVersion": "V3", "grpcServices": [{"envoyGrpc": {"clusterName": "xds"}}]}}}`},
}

const compressorPkg = "envoy.extensions.filters.http.compressor.v3."

var gzipLibrary = `{"name": "l", "typedConfig": ` + inAny("envoy.extensions.compression.gzip.compressor.v3.Gzip", `{"compressionLevel": "COMPRESSION_LEVEL_3"}`) + `}`

const (
	authzPkg, chainPkg = "envoy.extensions.filters.http.ext_authz.v3.", "envoy.extensions.filters.http.filter_chain.v3."
	httpAuthz          = `{"httpService": {"serverUri": {"uri": "http://c", "cluster": "c", "timeout": "1s"}, "pathPrefix": "/p", "authorizationResponse": {"allowedUpstreamHeaders": {"patterns": [{"exact": "a"}]},
		"allowedClientHeaders": {"patterns": [{"exact": "b"}]}}}, "transportApiVersion": "V3", "withRequestBody": {"maxRequestBytes": 5}, "allowedHeaders": {"patterns": [{"exact": "c"}]}, "statusOnError": {"code": "BadGateway"}}`
	grpcAuthz = `{"grpcService": {"envoyGrpc": {"clusterName": "c"}, "timeout": "1s"}, "transportApiVersion": "V3"}`
)

const sessionPkg, sessionStates = "envoy.extensions.filters.http.stateful_session.v3.", "envoy.extensions.http.stateful_session."

var headerSession, cookieSession = `{"name": "h", "typedConfig": ` + inAny(sessionStates+"header.v3.HeaderBasedSessionState", `{"name": "x"}`) + `}`,
	`{"name": "c", "typedConfig": ` + inAny(sessionStates+"cookie.v3.CookieBasedSessionState", `{"cookie": {"name": "y", "path": "/p", "attributes": [{"name": "Secure"}]}}`) + `}`

// extensions are what an Any may hold, as valid as possible.
var extensions = []string{
	inAny(hcm, manager), inAny(router, `{}`),
	inAny("envoy.extensions.access_loggers.file.v3.FileAccessLog", `{"path": "/dev/null"}`),
	inAny("envoy.extensions.access_loggers.stream.v3.StdoutAccessLog", `{}`),
	inAny("envoy.extensions.access_loggers.stream.v3.StderrAccessLog", `{}`),
	inAny("envoy.extensions.compression.brotli.compressor.v3.Brotli", `{"quality": 4, "windowBits": 16}`),
	inAny("envoy.extensions.compression.gzip.compressor.v3.Gzip", `{"compressionLevel": "BEST_SPEED"}`),
	inAny("envoy.extensions.compression.zstd.compressor.v3.Zstd", `{"compressionLevel": 4, "enableChecksum": true}`),
	inAny(compressorPkg+"Compressor", `{"compressorLibrary": `+gzipLibrary+`, "chooseFirst": true}`),
	inAny(compressorPkg+"CompressorPerRoute", `{"disabled": true}`),
	inAny("envoy.extensions.filters.http.grpc_web.v3.GrpcWeb", `{}`),
	inAny("envoy.extensions.filters.http.grpc_stats.v3.FilterConfig", `{"statsForAllMethods": true}`),
	inAny(authzPkg+"ExtAuthz", httpAuthz), inAny(authzPkg+"ExtAuthz", grpcAuthz),
	inAny(chainPkg+"FilterChainConfig", `{}`), inAny(chainPkg+"FilterChainConfigPerRoute", `{"filterChain": {"filters": [{"name": "a", "typedConfig": `+inAny(authzPkg+"ExtAuthz", httpAuthz)+`}]}}`),
	inAny(sessionPkg+"StatefulSession", `{"sessionState": `+headerSession+`}`), inAny(sessionPkg+"StatefulSession", `{"sessionState": `+cookieSession+`}`),
	inAny(sessionPkg+"StatefulSessionPerRoute", `{"disabled": true}`), inAny(sessionPkg+"StatefulSessionPerRoute", `{"statefulSession": {"sessionState": `+cookieSession+`}}`),
	inAny(sessionStates+"header.v3.HeaderBasedSessionState", `{"name": "x"}`), inAny(sessionStates+"cookie.v3.CookieBasedSessionState", `{"cookie": {"name": "y"}}`),
	inAny("envoy.extensions.filters.http.cors.v3.Cors", `{}`),
	inAny("envoy.extensions.filters.http.cors.v3.CorsPolicy", `{}`),
	inAny("stats.PluginConfig", `{"metrics": [{"name": "requests_total", "tagsToRemove": ["reporter"], "dimensions": {"host": "request.host"}}, {"name": "request_bytes", "drop": true}], "tcpReportingDuration": "9s"}`),
	inAny("envoy.extensions.filters.http.fault.v3.HTTPFault", `{"abort": {"httpStatus": 503, "percentage": {"numerator": 5}}}`),
	inAny("envoy.extensions.filters.http.rbac.v3.RBAC", `{"rulesStatPrefix": "x"}`),
	inAny("envoy.extensions.filters.http.rbac.v3.RBACPerRoute", `{}`),
	inAny("envoy.config.route.v3.FilterConfig", `{"config": `+inAny("envoy.extensions.filters.http.rbac.v3.RBACPerRoute", `{}`)+`}`),
	inAny("envoy.extensions.filters.listener.http_inspector.v3.HttpInspector", `{}`),
	inAny("envoy.extensions.filters.listener.original_dst.v3.OriginalDst", `{}`),
	inAny("envoy.extensions.filters.listener.original_src.v3.OriginalSrc", `{}`),
	inAny("envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector", `{}`),
	inAny("envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit", `{"statPrefix": "x", "maxConnections": "3", "runtimeEnabled": {"defaultValue": true, "runtimeKey": "a"}}`),
	inAny("envoy.extensions.filters.network.rbac.v3.RBAC", `{"statPrefix": "x"}`),
	inAny("envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", `{"cluster": "c"}`),
	inAny(previousHosts, `{}`), inAny(omitCanaries, `{}`), omitted,
	inAny("envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig", `{"updateFrequency": 2}`),
	inAny("envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol", `{}`),
	inAny("envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol", `{"passThroughTlvs": {"matchType": "INCLUDE", "tlvType": [5]}}`),
	inAny("envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport", `{"config": {"version": "V2", "passThroughTlvs": {"matchType": "INCLUDE", "tlvType": [5]}, "addedTlvs": [{"type": 7, "value": "eA=="}]}, "transportSocket": `+upstreamTLS+`}`),
	inAny("envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport", `{"config": {}, "transportSocket": `+upstreamTLS+`}`),
	inAny("envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer", `{}`),
	inAny(tlsPkg+"UpstreamTlsContext", `{"sni": "a.test"}`),
	inAny(tlsPkg+"DownstreamTlsContext", `{"commonTlsContext": {"tlsCertificates": [`+certificate+`]}}`),
	inAny("envoy.extensions.upstreams.http.v3.HttpProtocolOptions", `{"explicitHttpConfig": {"httpProtocolOptions": {}}}`),
}

// minimal are valid values of messages for which {} is not one, or says nothing.
var minimal = map[protoreflect.FullName][]string{
	"google.protobuf.Duration":                      {`"3s"`},
	"google.protobuf.UInt32Value":                   {`7`, `0`},
	"google.protobuf.UInt64Value":                   {`7`},
	"google.protobuf.DoubleValue":                   {`7`},
	"google.protobuf.BoolValue":                     {`true`, `false`},
	"google.protobuf.StringValue":                   {`"x"`},
	"google.protobuf.Any":                           extensions,
	"google.protobuf.Struct":                        {`{"a": "b"}`},
	"envoy.type.v3.Percent":                         {`{"value": 33}`},
	"envoy.type.v3.FractionalPercent":               {`{"numerator": 33}`},
	"envoy.type.v3.Int64Range":                      {`{"start": 3, "end": 5}`},
	"envoy.type.v3.Int32Range":                      {`{"start": 3, "end": 5}`},
	"envoy.config.core.v3.Address":                  {`{"socketAddress": {"address": "10.0.0.9", "portValue": 99}}`},
	"envoy.config.core.v3.SocketAddress":            {`{"address": "10.0.0.9", "portValue": 99}`},
	"envoy.config.core.v3.Pipe":                     {`{"path": "/x.sock"}`},
	"envoy.config.core.v3.CidrRange":                {`{"addressPrefix": "10.1.0.0", "prefixLen": 16}`},
	"envoy.config.core.v3.HeaderValueOption":        {`{"header": {"key": "x-a", "value": "v"}}`},
	"envoy.config.core.v3.HeaderValue":              {`{"key": "x-b", "value": "w"}`},
	"envoy.config.core.v3.DataSource":               {`{"inlineString": "text"}`},
	"envoy.config.core.v3.ConfigSource":             {`{"ads": {}}`},
	"envoy.config.core.v3.Locality":                 {`{"zone": "z"}`},
	"envoy.type.matcher.v3.StringMatcher":           {`{"exact": "v"}`},
	"envoy.type.matcher.v3.RegexMatcher":            {`{"regex": "a+"}`},
	"envoy.type.matcher.v3.RegexMatchAndSubstitute": {`{"pattern": {"regex": "a+"}, "substitution": "b"}`},
	"envoy.type.matcher.v3.PathMatcher":             {`{"path": {"exact": "/v"}}`},
	"envoy.config.route.v3.HeaderMatcher":           {`{"name": "x-a", "presentMatch": true}`},
	"envoy.config.route.v3.QueryParameterMatcher":   {`{"name": "q", "stringMatch": {"exact": "z"}}`},
	"envoy.config.route.v3.RouteMatch":              {`{"prefix": "/m"}`},
	"envoy.config.route.v3.RouteAction":             {`{"cluster": "d"}`},
	"envoy.config.route.v3.Route":                   {route},
	"envoy.config.route.v3.VirtualHost":             {`{"name": "i", "domains": ["b.test"], "routes": [` + route + `]}`},
	"envoy.config.listener.v3.FilterChain":          {chain},
	"envoy.config.listener.v3.Filter":               {filter},
	"envoy.config.rbac.v3.Permission":               {`{"any": true}`},
	"envoy.config.rbac.v3.Principal":                {`{"any": true}`},
	"envoy.config.rbac.v3.Policy":                   {`{"permissions": [{"any": true}], "principals": [{"any": true}]}`},
}

// values are what a field is set to where the usual values for its type will not do.
func fieldValues(dir string) map[string][]string {
	const (
		core, listener, route3, cluster, endpoint = "envoy.config.core.v3.", "envoy.config.listener.v3.", "envoy.config.route.v3.", "envoy.config.cluster.v3.", "envoy.config.endpoint.v3."
		filters, logs, boot, rbac                 = "envoy.extensions.filters.", "envoy.config.accesslog.v3.", "envoy.config.bootstrap.v3.", "envoy.config.rbac.v3."
		h                                         = filters + "network.http_connection_manager.v3."
	)
	texts := func(list ...string) (out []string) {
		for _, s := range list {
			out = append(out, quote(s))
		}
		return out
	}
	file := func(content string) string {
		name := filepath.Join(dir, strconv.Itoa(len(content)))
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			panic(err)
		}
		return name
	}
	bytes := func(s string) string { return quote(base64.StdEncoding.EncodeToString([]byte(s))) }
	log := `{"typedConfig": ` + inAny("envoy.extensions.access_loggers.file.v3.FileAccessLog", `{"path": "/dev/null"}`) + `}`
	flags := `{"responseFlagFilter": {"flags": ["NR"]}}`
	code := `{"statusCodeFilter": {"comparison": {"op": "GE", "value": {"defaultValue": 5}}}}`
	comparison := `{"op": "GE", "value": {"defaultValue": 5}}`
	named := func(list ...string) (out []string) {
		for i, c := range list {
			out = append(out, fmt.Sprintf(`{"name": "n%d", "typedConfig": %s}`, i, c))
		}
		return out
	}
	const uuids = "envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig"
	tracers := []string{
		inAny("envoy.config.trace.v3.OpenTelemetryConfig", `{"grpcService": {"envoyGrpc": {"clusterName": "c"}}}`),
		inAny("envoy.config.trace.v3.OpenTelemetryConfig", `{"httpService": {"httpUri": {"uri": "http://c/v1", "cluster": "c", "timeout": "1s"}}}`),
		inAny("envoy.config.trace.v3.ZipkinConfig", `{"collectorCluster": "c", "collectorEndpoint": "/b", "collectorEndpointVersion": "HTTP_JSON"}`),
	}
	tracings := []string{`{"customTags": [{"tag": "a", "literal": {"value": "b"}}], "provider": ` + named(tracers...)[0] + `}`}
	return map[string][]string{
		"envoy.config.overload.v3.ThresholdTrigger.value": {"0.7"}, "envoy.config.overload.v3.ScaledTrigger.scaling_threshold": {"0.6"}, "envoy.config.overload.v3.ScaledTrigger.saturation_threshold": {"0.7"},
		compressorPkg + "Compressor.ResponseDirectionConfig.uncompressible_response_codes": {"206"},
		"envoy.config.overload.v3.OverloadAction.name":                                     {quote("envoy.overload_actions.disable_http_keepalive")},
		core + "DataSource.filename":                                                       texts(file("content"), file(certPEM), file(otherPEM), file(otherKeyPEM)),
		core + "DataSource.inline_string":                                                  texts("x", certPEM, otherPEM, keyPEM, otherKeyPEM),
		core + "DataSource.environment_variable":                                           texts("X"),
		core + "DataSource.inline_bytes":                                                   {`"eA=="`, bytes(certPEM), bytes(otherPEM), bytes(otherKeyPEM)},
		core + "GrpcService.google_grpc":                                                   {`{"targetUri": "h:1"}`},
		core + "SocketAddress.address":                                                     texts("10.0.0.8", "127.0.0.1", "fd00::7"),
		core + "SocketAddress.port_value":                                                  {`98`},
		core + "BindConfig.source_address":                                                 {`{"address": "10.0.0.9"}`},
		core + "ExtraSourceAddress.address":                                                {`{"address": "fd00::9"}`},
		core + "BindConfig.extra_source_addresses":                                         {`{"address": {"address": "fd00::9"}}`},
		core + "HeaderValue.value":                                                         texts("w", "%PROTOCOL%"),
		core + "SubstitutionFormatString.text_format":                                      texts("%RESPONSE_CODE% %REQ(x-absent)%"),
		core + "SubstitutionFormatString.json_format":                                      {`{"a": "%RESPONSE_CODE%", "b": "%REQ(x-absent)%"}`},
		core + "ConfigSource.api_config_source":                                            {`{"apiType": "GRPC"}`},
		logs + "AccessLogFilter.and_filter":                                                {`{"filters": [` + code + `, {"durationFilter": {"comparison": ` + comparison + `}}]}`},
		logs + "AccessLogFilter.or_filter":                                                 {`{"filters": [` + code + `, {"durationFilter": {"comparison": ` + comparison + `}}]}`},
		logs + "AccessLogFilter.extension_filter":                                          {`{"name": "n", "typedConfig": ` + inAny("envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter", `{"expression": "response.code > 400"}`) + `}`},
		"envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter.expression":       texts("response.code < 300"),
		logs + "AccessLog.filter":                                                          {code, flags},
		logs + "AndFilter.filters":                                                         {code, flags},
		logs + "OrFilter.filters":                                                          {code, flags},
		logs + "StatusCodeFilter.comparison":                                               {comparison},
		logs + "DurationFilter.comparison":                                                 {comparison},
		logs + "ComparisonFilter.value":                                                    {`{"defaultValue": 3}`},
		logs + "ResponseFlagFilter.flags":                                                  texts("UH"),
		"envoy.extensions.access_loggers.file.v3.FileAccessLog.typed_json_format":          {`{"a": "%RESPONSE_CODE%"}`},
		"envoy.extensions.access_loggers.file.v3.FileAccessLog.log_format":                 {`{"textFormat": "x%REQ(x-absent)%"}`, `{"jsonFormat": {"b": "%REQ(x-absent)%"}}`},
		listener + "Listener.access_log":                                                   {`{"filter": ` + flags + `, ` + log[1:]},
		listener + "Listener.additional_addresses":                                         {`{"address": {"socketAddress": {"address": "10.0.0.7", "portValue": 97}}}`},
		listener + "Listener.listener_filters":                                             named(inAny(filters+"listener.http_inspector.v3.HttpInspector", `{}`), inAny(filters+"listener.tls_inspector.v3.TlsInspector", `{}`), inAny(filters+"listener.original_dst.v3.OriginalDst", `{}`), inAny(filters+"listener.original_src.v3.OriginalSrc", `{"mark": 1337}`)),
		listener + "Listener.filter_chains":                                                {`{"filterChainMatch": {"destinationPort": 7}, ` + chain[1:]},
		listener + "Listener.address":                                                      {`{"socketAddress": {"address": "10.0.0.9", "portValue": 99}}`, `{"socketAddress": {"address": "::", "portValue": 99}}`, `{"pipe": {"path": "/l.sock"}}`},
		listener + "ListenerFilter.filter_disabled":                                        {`{"destinationPortRange": {"start": 3, "end": 5}}`},
		listener + "ListenerFilterChainMatchPredicate.or_match":                            {`{"rules": [{"destinationPortRange": {"start": 3, "end": 5}}, {"destinationPortRange": {"start": 6, "end": 8}}]}`},
		listener + "ListenerFilterChainMatchPredicate.MatchSet.rules":                      {`{"destinationPortRange": {"start": 11, "end": 13}}`},
		listener + "FilterChainMatch.transport_protocol":                                   texts("tls"),
		listener + "FilterChain.transport_socket":                                          named(inAny(tlsPkg+"DownstreamTlsContext", `{"commonTlsContext": {"tlsCertificates": [`+certificate+`]}}`)),
		listener + "FilterChain.filters":                                                   {filter, named(inAny(filters+"network.tcp_proxy.v3.TcpProxy", `{"cluster": "c"}`))[0]},
		filters + "http.grpc_stats.v3.FilterConfig.individual_method_stats_allowlist":      {`{"services": [{"name": "a.B", "methodNames": ["C"]}]}`},
		filters + "network.tcp_proxy.v3.TcpProxy.tunneling_config":                         {`{"hostname": "a.test:80"}`},
		filters + "network.tcp_proxy.v3.TcpProxy.TunnelingConfig.hostname":                 {`"b.test:%REQUESTED_SERVER_NAME%"`},
		filters + "network.tcp_proxy.v3.TcpProxy.weighted_clusters":                        {`{"clusters": [{"name": "d", "weight": 3}]}`},
		filters + "network.tcp_proxy.v3.TcpProxy.WeightedCluster.clusters":                 {`{"name": "e", "weight": 4}`},
		filters + "network.tcp_proxy.v3.TcpProxy.access_log":                               {log},
		h + "HttpConnectionManager.access_log":                                             {log},
		"envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig.access_log":              {log},
		h + "HttpConnectionManager.tracing":                                                tracings,
		h + "HttpConnectionManager.Tracing.provider":                                       named(tracers...),
		h + "HttpConnectionManager.request_id_extension":                                   {`{"typedConfig": ` + inAny(uuids, `{"useRequestIdForTraceSampling": false}`) + `}`},
		h + "RequestIDExtension.typed_config":                                              {inAny(uuids, `{"useRequestIdForTraceSampling": false}`)},
		"envoy.config.trace.v3.OpenTelemetryConfig.resource_detectors":                     {`{"name": "e", "typedConfig": ` + inAny("envoy.extensions.tracers.opentelemetry.resource_detectors.v3.EnvironmentResourceDetectorConfig", `{}`) + `}`},
		"envoy.type.tracing.v3.CustomTag.value":                                            texts("%PROTOCOL% y"),
		core + "GrpcService.initial_metadata":                                              {`{"key": "x-b", "value": "c"}`},
		h + "HttpConnectionManager.Tracing.custom_tags":                                    {`{"tag": "z", "literal": {"value": "y"}}`},
		"envoy.config.trace.v3.OpenTelemetryConfig.grpc_service":                           {`{"envoyGrpc": {"clusterName": "d"}}`},
		"envoy.config.trace.v3.OpenTelemetryConfig.http_service":                           {`{"httpUri": {"uri": "http://d/e", "cluster": "d", "timeout": "1s"}}`},
		"envoy.config.trace.v3.ZipkinConfig.collector_endpoint":                            texts("/c"),
		"envoy.config.trace.v3.ZipkinConfig.collector_endpoint_version":                    texts("HTTP_PROTO", "HTTP_JSON"),
		core + "Http2ProtocolOptions.connection_keepalive":                                 {`{"interval": "1s", "timeout": "2s", "intervalJitter": {"value": 3}, "connectionIdleInterval": "4s"}`},
		core + "KeepaliveSettings.interval":                                                texts("5s"), core + "KeepaliveSettings.timeout": texts("5s"), core + "KeepaliveSettings.connection_idle_interval": texts("5s"),
		core + "HttpService.http_uri":                                    {`{"uri": "http://e/f", "cluster": "d", "timeout": "1s"}`},
		core + "HttpUri.uri":                                             texts("http://g/h", "nowhere"),
		"envoy.type.tracing.v3.CustomTag.literal":                        {`{"value": "y"}`},
		"envoy.type.tracing.v3.CustomTag.request_header":                 {`{"name": "x-b"}`},
		"envoy.type.tracing.v3.CustomTag.environment":                    {`{"name": "Y"}`},
		h + "HttpConnectionManager.delayed_close_timeout":                {`"1s"`, `"3s"`},
		h + "HttpConnectionManager.rds":                                  {`{"routeConfigName": "r", "configSource": {"ads": {}}}`},
		h + "HttpConnectionManager.route_config":                         {`{"name": "r2"}`},
		h + "HttpConnectionManager.upgrade_configs":                      {`{"upgradeType": "websocket"}`},
		filters + "http.fault.v3.FaultAbort.http_status":                 {`418`},
		filters + "http.fault.v3.HTTPFault.abort":                        {`{"httpStatus": 418, "percentage": {"numerator": 5}}`},
		filters + "http.fault.v3.HTTPFault.delay":                        {`{"fixedDelay": "1s", "percentage": {"numerator": 5}}`},
		route3 + "RouteConfiguration.vhds":                               {`{"configSource": {"ads": {}}}`},
		route3 + "RouteMatch.path_separated_prefix":                      texts("/s"),
		route3 + "RouteAction.weighted_clusters":                         {`{"clusters": [{"name": "d", "weight": 3}]}`},
		route3 + "WeightedCluster.clusters":                              {`{"name": "e", "weight": 4}`},
		route3 + "RetryPolicy.rate_limited_retry_back_off":               {`{"resetHeaders": [{"name": "retry-after"}]}`},
		route3 + "RetryPolicy.RateLimitedRetryBackOff.reset_headers":     {`{"name": "x-reset"}`},
		route3 + "RouteAction.hash_policy":                               {`{"header": {"headerName": "x-h"}}`},
		route3 + "RouteAction.HashPolicy.header":                         {`{"headerName": "x-i"}`},
		route3 + "RouteAction.HashPolicy.cookie":                         {`{"name": "c"}`},
		route3 + "RouteAction.HashPolicy.Cookie.name":                    texts("d"),
		route3 + "RouteAction.HashPolicy.query_parameter":                {`{"name": "q"}`},
		route3 + "RouteAction.HashPolicy.ConnectionProperties.source_ip": {`true`},
		route3 + "RouteAction.HashPolicy.connection_properties":          {`{"sourceIp": true}`},
		core + "Http2ProtocolOptions.initial_stream_window_size":         {`100000`},
		core + "Http2ProtocolOptions.initial_connection_window_size":     {`100000`},
		cluster + "Cluster.RingHashLbConfig.maximum_ring_size":           {`2048`},
		filters + "network.tcp_proxy.v3.TcpProxy.hash_policy":            {`{"sourceIp": {}}`},
		route3 + "WeightedCluster.ClusterWeight.weight":                  {`9`},
		route3 + "WeightedCluster.total_weight":                          {`3`, `7`},
		route3 + "Route.direct_response":                                 {`{"status": 418, "body": {"inlineString": "t"}}`},
		route3 + "DirectResponseAction.status":                           {`419`},
		route3 + "RetryPolicy.retry_on":                                  texts("5xx", "418"),
		route3 + "RetryPolicy.retry_back_off":                            {`{"baseInterval": "1s"}`},
		route3 + "RetryPolicy.RetryBackOff.max_interval":                 {`"1.5s"`},
		route3 + "RetryPolicy.retry_priority":                            named(inAny("envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig", `{"updateFrequency": 2}`)),
		route3 + "RouteAction.upgrade_configs":                           {`{"upgradeType": "CONNECT"}`},
		route3 + "RouteAction.request_mirror_policies":                   {`{"cluster": "d"}`},
		authzPkg + "ExtAuthz.grpc_service":                               {`{"envoyGrpc": {"clusterName": "d"}}`}, authzPkg + "ExtAuthz.http_service": {`{"serverUri": {"uri": "http://d", "cluster": "d", "timeout": "2s"}}`},
		authzPkg + "HttpService.server_uri": {`{"uri": "http://d", "cluster": "d", "timeout": "2s"}`}, authzPkg + "HttpService.path_prefix": texts("/q"),
		authzPkg + "ExtAuthz.status_on_error": {`{"code": "Conflict"}`}, "envoy.type.v3.HttpStatus.code": texts("Gone"), authzPkg + "ExtAuthz.with_request_body": {`{"maxRequestBytes": 7}`},
		chainPkg + "FilterChainConfigPerRoute.filter_chain": {`{"filters": [{"name": "b", "typedConfig": ` + inAny(authzPkg+"ExtAuthz", grpcAuthz) + `}]}`},
		chainPkg + "FilterChain.filters":                    {`{"name": "b", "typedConfig": ` + inAny(authzPkg+"ExtAuthz", grpcAuthz) + `}`},
		sessionPkg + "StatefulSession.session_state":        {cookieSession}, sessionPkg + "StatefulSessionPerRoute.stateful_session": {`{"sessionState": ` + headerSession + `}`},
		h + "HttpFilter.disabled":                                                                             {`true`},
		route3 + "FilterConfig.config":                                                                        {inAny(filters+"http.fault.v3.HTTPFault", `{}`), inAny(filters+"http.rbac.v3.RBACPerRoute", `{}`)},
		"envoy.type.matcher.v3.RegexMatchAndSubstitute.pattern":                                               {`{"regex": "b+"}`},
		"envoy.type.matcher.v3.RegexMatcher.regex":                                                            texts("c+"),
		rbac + "Permission.and_rules":                                                                         {`{"rules": [{"any": true}]}`},
		rbac + "Permission.or_rules":                                                                          {`{"rules": [{"any": true}]}`},
		rbac + "Principal.and_ids":                                                                            {`{"ids": [{"any": true}]}`},
		rbac + "Principal.or_ids":                                                                             {`{"ids": [{"any": true}]}`},
		cluster + "Cluster.type":                                                                              texts("STRICT_DNS", "LOGICAL_DNS"),
		cluster + "Cluster.transport_socket":                                                                  named(inAny(tlsPkg+"UpstreamTlsContext", `{"sni": "a.test"}`)),
		cluster + "Cluster.transport_socket_matches":                                                          {`{"name": "m", "transportSocket": ` + named(inAny(tlsPkg+"UpstreamTlsContext", `{"sni": "a.test"}`))[0] + `}`},
		cluster + "Cluster.load_assignment":                                                                   {`{"clusterName": "c", "endpoints": [{"lbEndpoints": [{"endpoint": {"address": {"socketAddress": {"address": "10.0.0.9", "portValue": 99}}}}]}]}`},
		cluster + "Cluster.metadata":                                                                          {`{"filterMetadata": {"istio": {"services": [{"host": "h", "name": "n", "namespace": "ns"}]}}}`, `{"filterMetadata": {"heddle.dev/denied": {"reason": "no"}}}`},
		cluster + "Cluster.upstream_bind_config":                                                              {`{"sourceAddress": {"address": "10.0.0.9"}}`},
		cluster + "Cluster.typed_extension_protocol_options":                                                  {inAny("envoy.extensions.upstreams.http.v3.HttpProtocolOptions", `{"commonHttpProtocolOptions": {"idleTimeout": "2s"}, "explicitHttpConfig": {"httpProtocolOptions": {}}}`)},
		"envoy.extensions.upstreams.http.v3.HttpProtocolOptions.explicit_http_config":                         {`{"httpProtocolOptions": {}}`},
		namesPkg + "common.dynamic_forward_proxy.v3.DnsCacheConfig.name":                                      texts("other"),
		cluster + "Cluster.cluster_type":                                                                      {`{"name": "n", "typedConfig": ` + inAny(namedCluster, `{"dnsCacheConfig": {"name": "m"}}`) + `}`},
		cluster + "Cluster.CustomClusterType.typed_config":                                                    {inAny(namedCluster, `{"allowInsecureClusterOptions": true, "dnsCacheConfig": {"name": "m"}}`)},
		core + "UpstreamHttpProtocolOptions.auto_san_validation":                                              {`true`},
		core + "UpstreamHttpProtocolOptions.auto_sni":                                                         {`true`},
		cluster + "Cluster.health_checks":                                                                     {`{"timeout": "1s", "interval": "5s", "unhealthyThreshold": 3, "healthyThreshold": 2, "httpHealthCheck": {"path": "/h", "method": "POST"}}`},
		cluster + "Cluster.CommonLbConfig.update_merge_window":                                                {`"0s"`, `"1s"`},
		core + "HealthCheck.http_health_check":                                                                {`{"path": "/i"}`},
		core + "HealthCheck.HttpHealthCheck.path":                                                             texts("/j"),
		core + "HealthCheck.HttpHealthCheck.expected_statuses":                                                {`{"start": 204, "end": 206}`},
		core + "HealthCheck.HttpHealthCheck.retriable_statuses":                                               {`{"start": 500, "end": 600}`},
		core + "HealthCheck.HttpHealthCheck.method":                                                           texts("PUT", "CONNECT"),
		core + "HealthCheck.HttpHealthCheck.send":                                                             {`{"text": "41"}`},
		core + "HealthCheck.HttpHealthCheck.receive":                                                          {`{"text": "41"}`},
		core + "HealthCheck.TcpHealthCheck.send":                                                              {`{"text": "41"}`},
		core + "HealthCheck.TcpHealthCheck.receive":                                                           {`{"text": "41"}`},
		core + "HealthCheck.Payload.text":                                                                     texts("42", "x"),
		core + "HealthCheck.transport_socket_match_criteria":                                                  {`{"a": "b"}`},
		core + "HealthCheck.tls_options":                                                                      {`{"alpnProtocols": ["h2"]}`},
		cluster + "OutlierDetection.max_ejection_time":                                                        {`"1000s"`},
		cluster + "CircuitBreakers.thresholds":                                                                {`{"priority": "DEFAULT"}`},
		endpoint + "LocalityLbEndpoints.lb_endpoints":                                                         {`{"endpoint": {"address": {"socketAddress": {"address": "10.0.0.9", "portValue": 99}}}}`},
		endpoint + "LbEndpoint.endpoint":                                                                      {`{"address": {"socketAddress": {"address": "10.0.0.7", "portValue": 99}}}`},
		tlsPkg + "DownstreamTlsContext.common_tls_context":                                                    {`{"tlsCertificates": [` + certificate + `]}`},
		tlsPkg + "CommonTlsContext.tls_certificates":                                                          {certificate},
		tlsPkg + "CommonTlsContext.tls_certificate_sds_secret_configs":                                        {`{"name": "default", "sdsConfig": {"ads": {}}}`, `{"name": "s", "sdsConfig": {"ads": {}}}`},
		tlsPkg + "CommonTlsContext.validation_context":                                                        {trusted},
		tlsPkg + "CommonTlsContext.validation_context_sds_secret_config":                                      {`{"name": "s", "sdsConfig": {"ads": {}}}`},
		tlsPkg + "CommonTlsContext.combined_validation_context":                                               {`{"defaultValidationContext": {}, "validationContextSdsSecretConfig": {"name": "s", "sdsConfig": {"ads": {}}}}`},
		tlsPkg + "CommonTlsContext.CombinedCertificateValidationContext.validation_context_sds_secret_config": {`{"name": "t", "sdsConfig": {"ads": {}}}`},
		tlsPkg + "CertificateValidationContext.match_typed_subject_alt_names":                                 {`{"sanType": "URI", "matcher": {"exact": "v"}}`},
		tlsPkg + "CertificateValidationContext.trusted_ca":                                                    {`{"inlineString": ` + quote(otherPEM) + `}`},
		tlsPkg + "CertificateValidationContext.crl":                                                           {`{"inlineString": ` + quote(revokedPEM) + `}`},
		tlsPkg + "TlsParameters.ecdh_curves":                                                                  texts("P-384"),
		tlsPkg + "TlsParameters.cipher_suites":                                                                texts("ECDHE-RSA-AES128-GCM-SHA256"),
		tlsPkg + "Secret.tls_certificate":                                                                     {certificate},
		tlsPkg + "Secret.validation_context":                                                                  {trusted},
		tlsPkg + "TlsCertificate.certificate_chain":                                                           {`{"inlineString": ` + quote(otherPEM) + `}`},
		tlsPkg + "TlsCertificate.private_key":                                                                 {`{"inlineString": ` + quote(otherKeyPEM) + `}`},
		"envoy.extensions.upstreams.http.v3.HttpProtocolOptions.use_downstream_protocol_config":               {`{}`},
		"envoy.extensions.transport_sockets.tls.v3.CertificateValidationContext.verify_certificate_spki":      {`"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="`},
		"envoy.extensions.transport_sockets.tls.v3.CertificateValidationContext.verify_certificate_hash":      {`"` + strings.Repeat("ab", 32) + `"`},
		boot + "Bootstrap.admin":                                                                              {`{"address": {"socketAddress": {"address": "127.0.0.1", "portValue": 99}}}`},
		boot + "Admin.access_log_path":                                                                        texts("/dev/null", "x"),
		boot + "Bootstrap.node":                                                                               {`{"cluster": "y"}`},
		boot + "Bootstrap.dynamic_resources":                                                                  {`{"adsConfig": {"apiType": "GRPC", "transportApiVersion": "V3", "grpcServices": [{"googleGrpc": {"targetUri": "h:1"}}]}}`},
		boot + "Bootstrap.DynamicResources.lds_config":                                                        {`{"ads": {}}`},
		boot + "Bootstrap.DynamicResources.cds_config":                                                        {`{"ads": {}}`},
		boot + "Bootstrap.StaticResources.listeners":                                                          {samples["listener"].json},
		boot + "Bootstrap.StaticResources.clusters":                                                           {samples["cluster"].json},
		boot + "Bootstrap.StaticResources.secrets":                                                            {samples["secret"].json},
	}
}

// elsewhere are fields whose value does not fit that of another, which is the one that is named.
var elsewhere = map[string]string{
	"envoy.config.bootstrap.v3.Bootstrap.static_resources":                                            "ads_config names a cluster that is not there then",
	"envoy.config.bootstrap.v3.Bootstrap.dynamic_resources":                                           "the cluster of the control plane becomes one like others, which HTTP/2 is refused for",
	"envoy.config.core.v3.GrpcService.google_grpc":                                                    "the cluster of the control plane becomes one like others, which HTTP/2 is refused for",
	"envoy.config.cluster.v3.Cluster.name":                                                            "ads_config names a cluster that is not there then",
	"envoy.config.cluster.v3.Cluster.type":                                                            "the settings of another type are named",
	"envoy.config.cluster.v3.Cluster.lb_policy":                                                       "the settings of another policy are named",
	"envoy.config.cluster.v3.Cluster.typed_extension_protocol_options":                                "the health check that needs HTTP/2 is named",
	"envoy.extensions.upstreams.http.v3.HttpProtocolOptions.explicit_http_config":                     "the health check that needs HTTP/2 is named",
	"envoy.extensions.upstreams.http.v3.HttpProtocolOptions.ExplicitHttpConfig.http_protocol_options": "the health check that needs HTTP/2 is named",
}

// neutral are fields that may be taken without an effect; each says why nothing is lost.
var neutral = func() map[string]string {
	all := neutralTable()
	maps.Copy(all, upstreamNeutral)
	return all
}()

func neutralTable() map[string]string {
	const (
		core, listener, route3, cluster = "envoy.config.core.v3.", "envoy.config.listener.v3.", "envoy.config.route.v3.", "envoy.config.cluster.v3."
		h                               = "envoy.extensions.filters.network.http_connection_manager.v3."
		label                           = "it only names the element; what it is says the type of its configuration"
		runtime                         = "there is no runtime layer, so the default is what counts"
		metadata                        = "metadata is for those who read it; what this proxy reads of it is tried where it is"
		usual                           = "only the value that says what is done anyway is taken"
		counted                         = "it only names statistics, and of this kind there are none"
	)
	return map[string]string{
		cluster + "Cluster.CustomClusterType.name": label, listener + "Filter.name": label, listener + "ListenerFilter.name": label, "envoy.config.accesslog.v3.AccessLog.name": label, core + "TransportSocket.name": label, h + "HttpFilter.name": label,
		"xds.core.v3.TypedExtensionConfig.name": label, core + "UdpSocketConfig.prefer_gro": usual,
		route3 + "RetryPolicy.RetryHostPredicate.name": label, route3 + "RetryPolicy.RetryPriority.name": label, cluster + "Cluster.TransportSocketMatch.name": label,
		core + "Http1ProtocolOptions.enable_trailers": "trailers pass between proxy and upstream in any case",
		core + "RuntimeUInt32.runtime_key":            runtime, core + "RuntimeFeatureFlag.runtime_key": runtime,
		"envoy.config.bootstrap.v3.RuntimeLayer.name": label, "envoy.config.bootstrap.v3.Bootstrap.layered_runtime": "what counts is in its layers", core + "RuntimeFractionalPercent.runtime_key": runtime,
		listener + "Listener.metadata": metadata, listener + "FilterChain.metadata": metadata, route3 + "RouteConfiguration.metadata": metadata, route3 + "VirtualHost.metadata": metadata,
		route3 + "Route.metadata": metadata, "envoy.config.endpoint.v3.LocalityLbEndpoints.metadata": metadata,
		listener + "Listener.stat_prefix": counted, "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.stat_prefix": counted, "envoy.extensions.filters.network.rbac.v3.RBAC.stat_prefix": counted,
		core + "GrpcService.GoogleGrpc.stat_prefix":      counted,
		listener + "Listener.connection_balance_config":  "connections always go to the least loaded worker",
		listener + "Listener.reuse_port":                 "one socket serves all workers, whatever it says",
		listener + "Listener.enable_reuse_port":          "one socket serves all workers, whatever it says",
		"envoy.config.accesslog.v3.ExtensionFilter.name": label,
		"envoy.config.trace.v3.Tracing.Http.name":        label,
		authzPkg + "ExtAuthz.transport_api_version":      "what is asked by HTTP has no version", core + "HttpUri.uri": "whom ext_authz asks is said by the cluster",
		h + "HttpFilter.is_optional":                                                                           "it is about filters that are not known",
		route3 + "FilterConfig.is_optional":                                                                    "it is about filters that are not known",
		h + "HttpConnectionManager.add_user_agent":                                                             usual,
		h + "HttpConnectionManager.http2_protocol_options":                                                     "no client can speak HTTP/2 to this version",
		core + "Http1ProtocolOptions.allow_absolute_url":                                                       usual,
		"envoy.extensions.filters.http.router.v3.Router.dynamic_stats":                                         usual,
		"envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector.initial_read_buffer_size":             "the buffer is the worker's",
		"envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector.enable_ja3_fingerprinting":            usual,
		"envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector.enable_ja4_fingerprinting":            usual,
		"envoy.config.bootstrap.v3.Admin.access_log_path":                                                      usual,
		"envoy.type.matcher.v3.RegexMatcher.google_re2":                                                        "RE2's syntax is what is read",
		route3 + "RouteConfiguration.max_direct_response_body_size_bytes":                                      "a limit, which is checked here",
		route3 + "RouteConfiguration.validate_clusters":                                                        usual,
		route3 + "WeightedCluster.total_weight":                                                                "it must be the sum of the weights, which is checked here",
		core + "Http2ProtocolOptions.override_stream_error_on_invalid_http_message":                            usual,
		"envoy.extensions.upstreams.http.v3.HttpProtocolOptions.UseDownstreamHttpConfig.http_protocol_options": "HTTP/1.1 is spoken to clients of HTTP/1.1 in any case",
		"envoy.extensions.upstreams.http.v3.HttpProtocolOptions.upstream_http_protocol_options":                "what it holds is about TLS, which the cluster may not have",
		core + "ConfigSource.resource_api_version":                                                             usual,
		core + "ConfigSource.api_config_source":                                                                "only for the workload's own certificates, which are kept beside the proxy whatever the source says",
		core + "ApiConfigSource.set_node_on_first_message_only":                                                "the node is always sent with the first message only",
		cluster + "CircuitBreakers.Thresholds.track_remaining":                                                 counted,
		cluster + "CircuitBreakers.Thresholds.priority":                                                        "a priority without limits has the default ones",
		cluster + "Cluster.CommonLbConfig.update_merge_window":                                                 usual,
		cluster + "Cluster.cleanup_interval":                                                                   "how long a destination is remembered changes no connection",
		cluster + "Cluster.original_dst_lb_config":                                                             "it holds nothing that is taken",
		cluster + "Cluster.http_protocol_options":                                                              "HTTP/1.1 is what is spoken",
		cluster + "Cluster.http2_protocol_options":                                                             "taken only for the control plane's cluster, where it says what is done anyway",
		cluster + "Cluster.upstream_http_protocol_options":                                                     "what it holds is about TLS, which the cluster may not have",
		cluster + "Cluster.type":                                                                               "the control plane's channel looks names up itself",
		"envoy.config.endpoint.v3.ClusterLoadAssignment.cluster_name":                                          "an assignment is found by its resource name, or stands in its cluster",
		h + "HttpConnectionManager.delayed_close_timeout":                                                      usual,
	}
}

// candidates are values for a field, each in a message of its own.
func (w *walk) candidates(m protoreflect.Message, f protoreflect.FieldDescriptor) (out []protoreflect.Message) {
	for _, text := range w.texts(f) {
		switch {
		case f.IsMap():
			text = `{"` + mapKey(f) + `": ` + text + `}`
		case f.IsList():
			text = `[` + text + `]`
		}
		v := m.New()
		if err := protojson.Unmarshal([]byte(`{"`+f.JSONName()+`": `+text+`}`), v.Interface()); err != nil {
			panic(fmt.Sprintf("%s: %v", f.FullName(), err))
		}
		if m.Has(f) != v.Has(f) || !m.Get(f).Equal(v.Get(f)) {
			out = append(out, v)
		}
	}
	return out
}

func mapKey(f protoreflect.FieldDescriptor) string {
	if f.Name() == "typed_extension_protocol_options" {
		return httpProtocolOptions
	}
	return "key"
}

// texts are the JSON forms of one element of a field.
func (w *walk) texts(f protoreflect.FieldDescriptor) []string {
	if v := w.values[string(f.FullName())]; v != nil {
		return v
	}
	if f.IsMap() {
		f = f.MapValue()
	}
	if m := f.Message(); m != nil {
		switch name := m.FullName(); {
		case name == "google.protobuf.Any":
			return extensions
		case minimal[name] != nil:
			return minimal[name]
		}
		return []string{`{}`}
	}
	switch f.Kind() {
	case protoreflect.BoolKind:
		return []string{`true`, `false`}
	case protoreflect.EnumKind:
		var all []string
		for i := range f.Enum().Values().Len() {
			all = append(all, quote(string(f.Enum().Values().Get(i).Name())))
		}
		return all
	case protoreflect.StringKind:
		return []string{`"x"`}
	case protoreflect.BytesKind:
		return []string{`"eA=="`}
	}
	return []string{`7`}
}
