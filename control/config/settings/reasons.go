package settings

import (
	"regexp"
	"strings"
)

// reasons say of fields that have no effect what follows from that or what to write instead.
var reasons = []struct{ field, why string }{
	{"defaultConfig.privateKeyProvider", "keys are used by the proxy itself: no offload to hardware is there yet"},
	{"defaultConfig.tracing.lightstep", "Istio has removed the tracer; use extensionProviders with opentelemetry"},
	{"defaultConfig.tracing.datadog", "spans are sent by OTLP and to Zipkin; Datadog's agent takes OTLP, see extensionProviders"},
	{"defaultConfig.tracing.stackdriver", "spans are sent by OTLP and to Zipkin; Google Cloud takes OTLP, see extensionProviders"},
	{"defaultConfig.tracing.openCensusAgent", "Istio has removed the tracer; use extensionProviders with opentelemetry"},
	{"defaultConfig.tracing.tlsSettings", "a DestinationRule says how the collector's service is called"},
	{"defaultConfig.zipkinAddress", "Istio has removed the field; use tracing.zipkin.address or extensionProviders"},
	{"defaultConfig.envoyAccessLogService", "access logs go to files: no log service is called yet"},
	{"defaultConfig.envoyMetricsServiceAddress", "metrics are scraped: proxies push none"},
	{"defaultConfig.envoyMetricsService", "metrics are scraped: proxies push none"},
	{"defaultConfig.statsdUdpAddress", "metrics are scraped: proxies push none"},
	{"defaultConfig.caCertificatesPem", "proxies trust the roots of the mesh alone"},
	{"defaultConfig.proxyStatsMatcher", "proxies keep all statistics; nothing has to be included"},
	{"defaultConfig.extraStatTags", "metrics have Istio's labels and no others yet"},
	{"defaultConfig.statNameLength", "names of statistics have no bound"},
	{"defaultConfig.statsCompression", "the page of statistics is not compressed"},
	{"defaultConfig.fileFlushInterval", "access logs are written line by line"},
	{"defaultConfig.fileFlushMinSizeKb", "access logs are written line by line"},
	{"defaultConfig.customConfigFile", "the proxy's bootstrap is made from this configuration alone"},
	{"defaultConfig.proxyBootstrapTemplatePath", "the proxy's bootstrap is made from this configuration alone"},
	{"defaultConfig.configPath", "the proxy keeps its files in a folder of its own"},
	{"defaultConfig.binaryPath", "the image says where the proxy is"},
	{"defaultConfig.serviceCluster", "proxies name themselves APP.NAMESPACE"},
	{"defaultConfig.tracingServiceName", "proxies name themselves APP.NAMESPACE"},
	{"defaultConfig.drainDuration", "a proxy drains for terminationDrainDuration; set that"},
	{"defaultConfig.proxyAdminPort", "the admin pages are at port 15000"},
	{"defaultConfig.controlPlaneAuthPolicy", "the control plane is always asked over TLS"},
	{"defaultConfig.sds", "keys always come by SDS, or are made by the proxy itself"},
	{"defaultConfig.availabilityZone", "a workload's place is that of its node"},
	{"defaultConfig.discoveryRefreshDelay", "configuration is pushed: nothing is asked for in intervals"},
	{"defaultConfig.runtimeValues", "the proxy's run-time settings are its own"},
	{"defaultConfig.proxyHeaders.preserveHttp1HeaderCase", "header names are sent in lower case"},
	{"defaultConfig.proxyHeaders.metadataExchangeHeaders", "proxies do not exchange metadata in headers, so there is nothing to leave out"},
	{"defaultConfig.connectionSettings", "connections are bounded by the proxy's memory alone"},
	{"extensionProviders.envoyExtAuthzHttp", "policies that name a provider are refused: no server is asked for them yet"},
	{"extensionProviders.envoyExtAuthzGrpc", "policies that name a provider are refused: no server is asked for them yet"},
	{"extensionProviders.lightstep", "Istio has removed the provider; use opentelemetry"},
	{"extensionProviders.datadog", "spans are sent by OTLP and to Zipkin; Datadog's agent takes OTLP"},
	{"extensionProviders.stackdriver", "spans are sent by OTLP and to Zipkin; Google Cloud takes OTLP"},
	{"extensionProviders.opencensus", "Istio has removed the provider; use opentelemetry"},
	{"extensionProviders.skywalking", "spans are sent by OTLP and to Zipkin; SkyWalking takes both"},
	{"extensionProviders.sds", "certificates of gateways come from Secrets and ConfigMaps"},
	{"extensionProviders.opentelemetry.http.headers.envName", "heddled reads no values from its environment; give value"},
	{"extensionProviders.opentelemetry.grpc.initialMetadata.envName", "heddled reads no values from its environment; give value"},
	{"extensionProviders.opentelemetry.resourceDetectors.dynatrace", "only the environment variable OTEL_RESOURCE_ATTRIBUTES is read"},
	{"extensionProviders.opentelemetry.serviceAttributeEnrichment", "spans name their service APP.NAMESPACE, and have Istio's tags"},
	{"extensionProviders.opentelemetry.dynatraceSampler", "the share of requests that is traced is that of Telemetry or ProxyConfig"},
	{"extensionProviders.zipkin.timeout", "Envoy 1.40 gives a collector 5 seconds, whatever is said"},
	{"extensionProviders.zipkin.headers", "Envoy 1.40 sends no headers of one's own to a Zipkin collector"},
	{"extensionProviders", "no log service is called yet: access logs go to files"},
	{"accessLogFormat", "the access log has Istio's default format"},
	{"enableEnvoyAccessLogService", "access logs go to files: no log service is called yet"},
	{"disableEnvoyListenerLog", "listeners have no access log of their own"},
	{"enablePrometheusMerge", "the metrics of applications are scraped at their own ports"},
	{"configSources", "configuration comes from the Kubernetes API or a folder"},
	{"certificates", "no certificates for names of services are made; cert-manager does that"},
	{"hboneIdleTimeout", "no tunnels (HBONE) are made yet"},
	{"serviceScopeConfigs", "services have no scope beyond exportTo yet: they are of one cluster"},
	{"proxyListenPort", "captured traffic goes to port 15001"},
	{"proxyInboundListenPort", "captured traffic goes to port 15006"},
}

// indices are the places in lists.
var indices = regexp.MustCompile(`\[[^\]]*\]`)

// reason is what the owner of a field without effect is told.
func reason(field string) string {
	field = indices.ReplaceAllString(field, "")
	for _, r := range reasons {
		if field == r.field || strings.HasPrefix(field, r.field+".") {
			return "the setting is not honoured: " + r.why
		}
	}
	return "the setting is not honoured yet"
}
