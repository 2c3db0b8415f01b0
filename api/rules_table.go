package api

import "google.golang.org/protobuf/reflect/protoreflect"

const (
	net  = "istio.networking.v1alpha3."
	ext  = "istio.extensions.v1alpha1."
	sec  = "istio.security.v1beta1."
	tel  = "istio.telemetry.v1alpha1."
	kind = "istio.type.v1beta1."
)

// byField abbreviates the table below.
type byField = map[string][]rule

// one gives the rules of one field.
func one(r ...rule) []rule { return r }

func must(fields ...string) rules { return rules{required: fields} }

func only(fields byField) rules { return rules{fields: fields} }

// durations are rules of fields that take at least a millisecond.
func durations(fields ...string) byField {
	out := byField{}
	for _, f := range fields {
		out[f] = one(lasting)
	}
	return out
}

var (
	header   = pattern(`^[-_A-Za-z0-9]+$`, "a header name of letters, digits, - and _")
	hash     = pattern(`^$|^[a-f0-9]{64}$`, "a SHA-256 sum in 64 hexadecimal digits")
	selected = byField{"targetRefs": one(items(0, 16))}
	bySome   = atMostOne("selector", "targetRef", "targetRefs")
)

// messageRules are the tables of all groups.
var messageRules = func() map[protoreflect.FullName]rules {
	all := map[protoreflect.FullName]rules{}
	for _, table := range []map[protoreflect.FullName]rules{routingRules, policyRules, serviceRules, securityRules, extensionRules} {
		for name, r := range table {
			all[name] = r
		}
	}
	return all
}()

// routingRules are those of VirtualService and Gateway.
var routingRules = map[protoreflect.FullName]rules{
	net + "CorsPolicy":               only(durations("maxAge")),
	net + "Destination":              must("host"),
	net + "HTTPDirectResponse":       must("status"),
	net + "HTTPFaultInjection.Delay": only(durations("fixedDelay", "exponentialDelay")),
	net + "HTTPMirrorPolicy":         must("destination"),
	net + "HTTPRetry":                only(durations("perTryTimeout", "backoff")),
	net + "HTTPRoute":                only(durations("timeout")),
	net + "HTTPRouteDestination":     must("destination"),
	net + "RouteDestination":         must("destination"),
	net + "TLSMatchAttributes":       must("sniHosts"),
	net + "TLSRoute":                 must("match"),
	net + "Port":                     must("number", "protocol", "name"),
	net + "Server":                   must("port", "hosts"),
	net + "ServerTLSSettings": {
		fields: byField{"credentialNames": one(items(1, 2)), "tlsCertificates": one(items(1, 2))},
		whole:  []judge{atMostOne("credentialName", "credentialNames"), atMostOne("credentialNames", "tlsCertificates")},
	},
}

// policyRules are those of DestinationRule, Sidecar and EnvoyFilter.
var policyRules = map[protoreflect.FullName]rules{
	net + "ConnectionPoolSettings.HTTPSettings":                        only(durations("idleTimeout")),
	net + "ConnectionPoolSettings.HTTPSettings.ConnectionKeepalive":    only(durations("interval", "timeout")),
	net + "ConnectionPoolSettings.TCPSettings":                         only(durations("connectTimeout", "maxConnectionDuration")),
	net + "ConnectionPoolSettings.TCPSettings.TcpKeepalive":            only(durations("time", "interval")),
	net + "DestinationRule":                                            must("host"),
	net + "LoadBalancerSettings":                                       only(durations("warmupDurationSecs")),
	net + "LoadBalancerSettings.ConsistentHashLB.HTTPCookie":           must("name"),
	net + "LoadBalancerSettings.ConsistentHashLB.HTTPCookie.Attribute": must("name"),
	net + "OutlierDetection": only(byField{
		"interval": one(lasting), "baseEjectionTime": one(lasting), "failurePercentageThreshold": one(between(0, 100)),
		"outlierDetectionHttpErrorCodes": one(each(between(100, 599))),
	}),
	net + "Subset":                       must("name"),
	net + "TrafficPolicy":                only(byField{"portLevelSettings": one(items(0, 4096))}),
	net + "TrafficPolicy.RetryBudget":    only(byField{"percent": one(between(0, 100))}),
	net + "TrafficPolicy.TunnelSettings": must("targetHost", "targetPort"),
	net + "WarmupConfiguration": {
		required: []string{"duration"},
		fields:   byField{"duration": one(lasting), "minimumPercent": one(between(0, 100)), "aggression": one(atLeast(0))},
	},
	net + "ZoneAwareLoadBalancerSetting":       only(byField{"minClusterSize": one(atLeast(1))}),
	net + "IstioEgressListener":                must("hosts"),
	net + "IstioIngressListener":               must("port"),
	net + "EnvoyFilter":                        {fields: selected, whole: []judge{atMostOne("workloadSelector", "targetRefs")}},
	net + "EnvoyFilter.EnvoyConfigObjectMatch": {whole: []judge{waypointOnly}},
	net + "EnvoyFilter.WaypointMatch":          only(byField{"portNumber": one(port)}),
}

// serviceRules are those of ServiceEntry, WorkloadEntry, WorkloadGroup and ProxyConfig.
var serviceRules = map[protoreflect.FullName]rules{
	net + "ServiceEntry": {
		required: []string{"hosts"},
		fields: byField{
			"addresses": one(items(0, 256), each(length(0, 64))), "hosts": one(items(1, 256), each(notEverything)),
			"endpoints": one(items(0, 4096), each(reachable)), "ports": one(items(0, 256), unique("name"), unique("number")),
		},
		whole: []judge{atMostOne("workloadSelector", "endpoints"), blocks, noEndpoints, oneEndpoint},
	},
	net + "ServicePort": {
		required: []string{"number", "name"},
		fields:   byField{"name": one(length(0, 256)), "number": one(port), "protocol": one(length(0, 256)), "targetPort": one(port)},
	},
	net + "WorkloadEntry": {
		fields: byField{
			"address": one(length(0, 256), socket), "labels": one(items(0, 256)), "locality": one(length(0, 2048)), "network": one(length(0, 2048)),
			"ports": one(items(0, 128), keys(portName), each(port)), "serviceAccount": one(length(0, 253)),
		},
		whole: []judge{socketWithoutPorts},
	},
	net + "WorkloadGroup":            must("template"),
	net + "WorkloadGroup.ObjectMeta": only(byField{"labels": one(items(0, 256)), "annotations": one(items(0, 256))}),
	net + "WorkloadSelector":         only(byField{"labels": one(items(0, 256), each(withoutStar), each(length(0, 63)))}),
	net + "HTTPHealthCheckConfig": {
		required: []string{"port"}, fields: byField{"port": one(port), "scheme": one(oneOf("", "HTTP", "HTTPS"))},
	},
	net + "ReadinessProbe": only(byField{
		"initialDelaySeconds": one(atLeast(0)), "timeoutSeconds": one(atLeast(0)), "periodSeconds": one(atLeast(0)), "successThreshold": one(atLeast(0)), "failureThreshold": one(atLeast(0)),
	}),
	net + "HTTPHeader":            only(byField{"name": one(header)}),
	net + "TCPHealthCheckConfig":  {required: []string{"port"}, fields: byField{"port": one(port)}},
	net + "GrpcHealthCheckConfig": only(byField{"port": one(port)}),
	net + "ExecHealthCheckConfig": {required: []string{"command"}, fields: byField{"command": one(each(length(1, 0)))}},

	"istio.networking.v1beta1.ProxyConfig": only(byField{"concurrency": one(atLeast(0)), "environmentVariables": one(each(length(0, 2048)))}),
}

// securityRules are those of the security kinds, and of how policies select.
var securityRules = map[protoreflect.FullName]rules{
	kind + "PolicyTargetReference": {
		required: []string{"kind", "name"},
		fields: byField{
			"group": one(length(0, 253), pattern(`^$|^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`, "an API group such as gateway.networking.k8s.io")),
			"kind":  one(length(1, 63), pattern(`^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$`, "a kind such as Gateway")),
			"name":  one(length(1, 253)), "namespace": one(empty("a policy and its target are in the same namespace; leave it out")),
		},
	},
	kind + "WorkloadSelector": only(byField{"matchLabels": one(items(0, 4096), keys(labelKey), each(withoutStar), each(length(0, 63)))}),
	kind + "PortSelector":     {required: []string{"number"}, fields: byField{"number": one(port)}},
	sec + "AuthorizationPolicy": {
		fields: byField{"rules": one(items(0, 512)), "targetRefs": one(items(0, 16))}, whole: []judge{bySome},
	},
	sec + "Condition": must("key"),
	sec + "Rule":      only(byField{"from": one(items(0, 512))}),
	sec + "Source": {
		fields: byField{"serviceAccounts": one(items(0, 16), each(length(0, 320))), "notServiceAccounts": one(items(0, 16), each(length(0, 320)))},
		whole:  []judge{accountsAlone},
	},
	sec + "PeerAuthentication": {
		fields: byField{"portLevelMtls": one(items(1, 0), keys(portKey))}, whole: []judge{portsOfSome},
	},
	sec + "RequestAuthentication": {
		fields: byField{"jwtRules": one(items(0, 4096)), "targetRefs": one(items(0, 16))}, whole: []judge{bySome},
	},
	sec + "ClaimToHeader": {required: []string{"header", "claim"}, fields: byField{"header": one(length(1, 0), header), "claim": one(length(1, 0))}},
	sec + "JWTHeader":     {required: []string{"name"}, fields: byField{"name": one(length(1, 0))}},
	sec + "JWTRule": {
		fields: byField{
			"issuer": one(length(1, 0)), "audiences": one(each(length(1, 0))), "fromCookies": one(each(length(1, 0))), "fromParams": one(each(length(1, 0))),
			"jwksUri": one(length(1, 2048), web), "spaceDelimitedClaims": one(items(0, 64), each(length(1, 0))),
			"timeout": one(lasting),
		},
		whole: []judge{atMostOne("jwksUri", "jwks")},
	},
}

// extensionRules are those of WasmPlugin, TrafficExtension and Telemetry.
var extensionRules = map[protoreflect.FullName]rules{
	ext + "EnvVar": {
		required: []string{"name"}, fields: byField{"name": one(length(1, 256)), "value": one(length(0, 2048))}, whole: []judge{inlineValue},
	},
	ext + "VmConfig":                   only(byField{"env": one(items(0, 256), unique("name"))}),
	ext + "LuaConfig":                  {required: []string{"inlineCode"}, fields: byField{"inlineCode": one(length(1, 65536))}},
	ext + "WasmConfig":                 {required: []string{"url"}, fields: wasm},
	ext + "TrafficSelector":            only(byField{"ports": one(unique("number"))}),
	ext + "WasmPlugin.TrafficSelector": only(byField{"ports": one(unique("number"))}),
	ext + "TrafficExtension": {
		fields: selected, whole: []judge{atMostOne("selector", "targetRefs"), wasmOrLua},
	},
	ext + "WasmPlugin": {required: []string{"url"}, fields: wasm, whole: []judge{bySome}},

	tel + "Telemetry":                    {fields: selected, whole: []judge{bySome}},
	tel + "ProviderRef":                  {required: []string{"name"}, fields: byField{"name": one(length(1, 0))}},
	tel + "Metrics":                      only(durations("reportingInterval")),
	tel + "MetricSelector":               only(byField{"customMetric": one(length(1, 0))}),
	tel + "MetricsOverrides.TagOverride": {whole: []judge{valueOfTag}},
	tel + "Tracing":                      only(byField{"randomSamplingPercentage": one(between(0, 100))}),
	tel + "Tracing.Environment":          {required: []string{"name"}, fields: byField{"name": one(length(1, 0))}},
	tel + "Tracing.RequestHeader":        {required: []string{"name"}, fields: byField{"name": one(length(1, 0))}},
	tel + "Tracing.Literal":              {required: []string{"value"}, fields: byField{"value": one(length(1, 0))}},
	tel + "Tracing.Formatter":            {required: []string{"value"}, fields: byField{"value": one(length(1, 0))}},
}

// wasm are the fields that WasmPlugin and WasmConfig share.
var wasm = byField{
	"imagePullSecret": one(length(1, 253)), "pluginName": one(length(1, 256)), "sha256": one(hash), "url": one(length(1, 0), module), "targetRefs": one(items(0, 16)),
}

// specRequired are kinds whose spec may not be left out.
var specRequired = map[string]bool{"ServiceEntry": true, "WorkloadEntry": true, "WorkloadGroup": true, "WasmPlugin": true, "TrafficExtension": true}
