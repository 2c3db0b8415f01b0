package inject

import (
	"maps"
	"slices"
	"strings"
)

// Mark is a label or annotation of Istio's that a pod may have.
type Mark struct {
	Key  string
	Why  string // it has no effect; "" is honoured
	Ours bool   // written by the injection, not read from the author
}

// Marks lists every one that concerns a pod; a test compares it with Istio's own lists.
var Marks = []Mark{
	{Key: keyInject},
	{Key: labelRevision},
	{Key: keyTemplates},
	{Key: keyProxyConfig},
	{Key: keyOverrides, Ours: true},
	{Key: keyStatus, Ours: true},
	{Key: "sidecar.istio.io/interceptionMode"},
	{Key: "sidecar.istio.io/logLevel"},
	{Key: "sidecar.istio.io/nativeSidecar"},
	{Key: "sidecar.istio.io/proxyCPU"},
	{Key: "sidecar.istio.io/proxyCPULimit"},
	{Key: "sidecar.istio.io/proxyImage"},
	{Key: "sidecar.istio.io/proxyImageType"},
	{Key: "sidecar.istio.io/proxyMemory"},
	{Key: "sidecar.istio.io/proxyMemoryLimit"},
	{Key: "sidecar.istio.io/rewriteAppHTTPProbers"},
	{Key: "sidecar.istio.io/userVolume"},
	{Key: "sidecar.istio.io/userVolumeMount"},
	{Key: "status.sidecar.istio.io/port"},
	{Key: "readiness.status.sidecar.istio.io/initialDelaySeconds"},
	{Key: "readiness.status.sidecar.istio.io/periodSeconds"},
	{Key: "readiness.status.sidecar.istio.io/failureThreshold"},
	{Key: "traffic.sidecar.istio.io/excludeInboundPorts"},
	{Key: "traffic.sidecar.istio.io/excludeInterfaces"},
	{Key: "traffic.sidecar.istio.io/excludeOutboundIPRanges"},
	{Key: "traffic.sidecar.istio.io/excludeOutboundPorts"},
	{Key: "traffic.sidecar.istio.io/includeInboundPorts"},
	{Key: "traffic.sidecar.istio.io/includeOutboundIPRanges"},
	{Key: "traffic.sidecar.istio.io/includeOutboundPorts"},
	{Key: "topology.istio.io/network"},
	{Key: "topology.istio.io/cluster"},
	{Key: "security.istio.io/tlsMode"},
	{Key: "service.istio.io/canonical-name"},
	{Key: "service.istio.io/canonical-revision"},
	{Key: "service.istio.io/workload-name", Why: "metrics name the workload by the pod's owner"},
	{Key: "galley.istio.io/analyze-suppress"}, // asks for nothing here
	{Key: "gateway.istio.io/controller-version"},
	{Key: "operator.istio.io/component"},
	{Key: "operator.istio.io/managed"},
	{Key: "operator.istio.io/version"},

	{Key: "readiness.status.sidecar.istio.io/applicationPorts", Why: "the proxy is ready when its configuration is in force, whatever the application's ports are"},
	{Key: "sidecar.istio.io/agentLogLevel", Why: "the agent has one level of its own"},
	{Key: "sidecar.istio.io/bootstrapOverride", Why: "the proxy's first configuration cannot be changed"},
	{Key: "sidecar.istio.io/componentLogLevel", Why: "there is one level for the whole proxy; use sidecar.istio.io/logLevel"},
	{Key: "sidecar.istio.io/discoveryAddress", Why: "write discoveryAddress in proxy.istio.io/config"},
	{Key: "sidecar.istio.io/extraStatTags", Why: "metrics have Istio's labels and no others"},
	{Key: "sidecar.istio.io/statsCompression", Why: "metrics are not compressed"},
	{Key: "sidecar.istio.io/statsEvictionInterval", Why: "metrics are not evicted"},
	{Key: "sidecar.istio.io/statsFlushInterval", Why: "metrics are read when they are asked for"},
	{Key: "sidecar.istio.io/statsHistogramBins", Why: "histograms have Istio's buckets"},
	{Key: "sidecar.istio.io/statsHistogramBuckets", Why: "histograms have Istio's buckets"},
	{Key: "sidecar.istio.io/statsInclusionPrefixes", Why: "every metric is written"},
	{Key: "sidecar.istio.io/statsInclusionRegexps", Why: "every metric is written"},
	{Key: "sidecar.istio.io/statsInclusionSuffixes", Why: "every metric is written"},
	{Key: "prometheus.istio.io/merge-metrics", Why: "the application's metrics stay where they are; the proxy's are at port 15090, /stats/prometheus"},
	{Key: "istio.io/reroute-virtual-interfaces", Why: "interfaces of virtual machines inside the pod are not captured yet"},
	{Key: "traffic.sidecar.istio.io/kubevirtInterfaces", Why: "interfaces of virtual machines inside the pod are not captured yet"},
	{Key: "topology.istio.io/locality", Why: "the locality comes from the node's labels"},
	{Key: "ambient.istio.io/bypass-inbound-capture", Why: "there is no ambient mode yet"},
	{Key: "ambient.istio.io/dns-capture", Why: "there is no ambient mode yet"},
	{Key: "ambient.istio.io/redirection", Why: "there is no ambient mode yet"},
	{Key: "istio.io/dataplane-mode", Why: "there is no ambient mode yet"},
	{Key: "istio.io/use-waypoint", Why: "there is no ambient mode yet"},
	{Key: "istio.io/use-waypoint-namespace", Why: "there is no ambient mode yet"},
}

// keyProxy chooses between the two proxies.
const keyProxy = "heddle.dev/proxy"

// keyCaptureUDP says whether what the pod sends to services in datagrams goes to its proxy.
const keyCaptureUDP = "heddle.dev/captureUDP"

// tell warns of marks without effect, and of unknown ones in the domains of the sidecar, which are misspelt.
func (b *builder) tell() {
	for _, set := range []struct {
		path  string
		marks map[string]string
	}{{"metadata.labels", b.pod.Labels}, {"metadata.annotations", b.pod.Annotations}} {
		for _, key := range slices.Sorted(maps.Keys(set.marks)) {
			i := slices.IndexFunc(Marks, func(m Mark) bool { return m.Key == key })
			switch domain, _, _ := strings.Cut(key, "/"); {
			case i >= 0 && Marks[i].Why != "":
				b.warn("%s[%s] has no effect: %s", set.path, key, Marks[i].Why)
			case i < 0 && (domain == "sidecar.istio.io" || strings.HasSuffix(domain, ".sidecar.istio.io")):
				b.warn("%s[%s] has no effect: there is no such annotation; look at its spelling", set.path, key)
			}
		}
	}
	if _, said := b.pod.Annotations[keyInject]; said {
		b.warn("%s is deprecated: write the label %s", annotation(keyInject), keyInject)
	}
}
