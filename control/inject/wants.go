package inject

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	meshconfig "istio.io/api/mesh/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/heddle-mesh/heddle/mesh"
)

// wants is what an injection has to make, from settings and the pod's annotations.
type wants struct {
	own                              string // the ProxyConfig that the proxy announces as its own, "" where that of the mesh counts
	config                           *meshconfig.ProxyConfig
	templates                        []string
	gateway, envoy                   bool
	grpc                             bool // an agent for programs with gRPC, and no proxy
	native, hold, rewrite, dns, self bool
	udp                              bool // datagrams to services go to the proxy
	image                            string
	resources                        corev1.ResourceRequirements
	logLevel                         string
	drain                            time.Duration
	statusPort, readiness            int32 // readiness 0: no probe of the proxy
	initialDelay, period, fail       int32
	traffic                          traffic
	interception                     string
	volumes                          []corev1.Volume
	mounts                           []corev1.VolumeMount
}

// traffic is what is captured, in the form of Istio's annotations.
type traffic struct {
	includeOutboundRanges, excludeOutboundRanges, includeOutboundPorts, excludeOutboundPorts, includeInboundPorts, excludeInboundPorts, excludeInterfaces string
}

func annotation(key string) string { return "metadata.annotations[" + key + "]" }

// read fills in wants; a mistake in any annotation is told with the others.
func (b *builder) read() error {
	w := &b.wants
	w.config = b.proxyConfig()
	b.readTemplates()
	b.readProxy()
	b.readForm()
	b.readResources()
	b.readReadiness()
	b.readTraffic()
	b.readVolumes()
	b.tell()
	if len(b.faults) > 0 {
		return joined(b.faults)
	}
	return nil
}

func (b *builder) readTemplates() {
	w := &b.wants
	w.templates = b.s.DefaultTemplates
	if text, said := b.pod.Annotations[keyTemplates]; said {
		w.templates = split(text)
	}
	for _, name := range w.templates {
		_, custom := b.s.Templates[name]
		switch {
		case name == templateSidecar || custom:
		case name == templateGateway:
			w.gateway = true
		case name == templateGRPC:
			w.grpc = true
		case builtin(name):
			b.refuse(annotation(keyTemplates), "the template %s is not supported yet; use sidecar, gateway or grpc-agent", name)
		default:
			b.refuse(annotation(keyTemplates), "there is no template %q; the installation has %s", name, strings.Join(b.s.known(), ", "))
		}
	}
	if !w.gateway && !w.grpc && !slices.Contains(w.templates, templateSidecar) {
		b.refuse(annotation(keyTemplates), "name sidecar, gateway or grpc-agent too; other templates only add to them")
	}
	if w.grpc && (w.gateway || slices.Contains(w.templates, templateSidecar)) {
		b.refuse(annotation(keyTemplates), "a pod has a proxy or the agent for gRPC, not both; name one of sidecar, gateway and grpc-agent")
	}
}

// readProxy says which program runs, and how it talks.
func (b *builder) readProxy() {
	w := &b.wants
	kind := b.choice(keyProxy, b.s.Proxy, Heddle, Envoy)
	w.envoy = kind == Envoy && !w.grpc
	if _, said := b.pod.Annotations[keyProxy]; said && w.grpc {
		b.warn("%s has no effect: the template %s has no proxy", annotation(keyProxy), templateGRPC)
	}
	w.image = b.s.Image
	if w.envoy {
		w.image = b.s.EnvoyImage
	}
	if t := cmp.Or(b.pod.Annotations["sidecar.istio.io/proxyImageType"], w.config.GetImage().GetImageType()); t != "" && t != "default" {
		w.image += "-" + t
	}
	w.image = cmp.Or(b.pod.Annotations["sidecar.istio.io/proxyImage"], w.image)
	w.logLevel = b.choice("sidecar.istio.io/logLevel", "warning", "trace", "debug", "info", "warning", "error", "critical", "off")
	w.drain = 5 * time.Second
	if d := w.config.GetTerminationDrainDuration(); d != nil {
		w.drain = d.AsDuration()
	}
	if w.drain < 0 || w.drain > 24*time.Hour {
		b.refuse(annotation(keyProxyConfig), "terminationDrainDuration %s is not between 0 and a day", w.drain)
	}
	if n := w.config.GetConcurrency().GetValue(); n < 0 || n > 1024 {
		b.refuse(annotation(keyProxyConfig), "concurrency %d is not between 0 and 1024", n)
	}
	w.dns = b.yes("proxyMetadata[ISTIO_META_DNS_CAPTURE]", w.config.GetProxyMetadata()["ISTIO_META_DNS_CAPTURE"], false)
	w.self = b.yes("proxyMetadata["+mesh.MetaSelfDiscovery+"]", w.config.GetProxyMetadata()[mesh.MetaSelfDiscovery], false)
	for _, key := range slices.Sorted(maps.Keys(w.config.GetProxyMetadata())) {
		if key != "ISTIO_META_DNS_CAPTURE" && key != mesh.MetaSelfDiscovery {
			b.warn("ProxyConfig proxyMetadata[%s] becomes an environment variable that the proxy does not read", key)
		}
	}
}

// readForm says how the proxy stands in the pod.
func (b *builder) readForm() {
	w := &b.wants
	w.native = b.flag("sidecar.istio.io/nativeSidecar", *b.s.NativeSidecars) && !w.gateway
	w.hold = w.config.GetHoldApplicationUntilProxyStarts().GetValue() && !w.native && !w.gateway
	w.rewrite = b.flag("sidecar.istio.io/rewriteAppHTTPProbers", true) && !w.gateway && !w.grpc
	mode := "REDIRECT"
	if b.wants.config.InterceptionMode == meshconfig.ProxyConfig_NONE {
		mode = "NONE"
	} else if b.wants.config.InterceptionMode == meshconfig.ProxyConfig_TPROXY {
		mode = "TPROXY"
	}
	w.interception = b.choice("sidecar.istio.io/interceptionMode", mode, "REDIRECT", "TPROXY", "NONE")
	if w.gateway || w.grpc {
		w.interception = "NONE"
	}
	b.readDatagrams()
}

// readDatagrams says whether what the pod sends in datagrams goes to its proxy.
func (b *builder) readDatagrams() {
	w := &b.wants
	_, said := b.pod.Annotations[keyCaptureUDP]
	switch w.udp = b.flag(keyCaptureUDP, b.s.CaptureUDP); {
	case !w.udp:
	case w.interception == "NONE":
		if w.udp = false; said {
			b.warn("%s has no effect: nothing of this pod is captured", annotation(keyCaptureUDP))
		}
	case w.envoy:
		w.udp = false
		b.warn("datagrams of this pod are not captured: Envoy cannot find out where a captured datagram was going; use %s: %s, or %s: \"false\"", keyProxy, Heddle, keyCaptureUDP)
	}
}

func (b *builder) readResources() {
	w := &b.wants
	w.resources = *b.s.Resources.DeepCopy()
	own := corev1.ResourceRequirements{Requests: corev1.ResourceList{}, Limits: corev1.ResourceList{}}
	said := false
	for key, at := range map[string]struct {
		list corev1.ResourceList
		name corev1.ResourceName
	}{"proxyCPU": {own.Requests, corev1.ResourceCPU}, "proxyMemory": {own.Requests, corev1.ResourceMemory}, "proxyCPULimit": {own.Limits, corev1.ResourceCPU}, "proxyMemoryLimit": {own.Limits, corev1.ResourceMemory}} {
		text, ok := b.pod.Annotations["sidecar.istio.io/"+key]
		if !ok {
			continue
		}
		q, err := resource.ParseQuantity(text)
		if err != nil || q.Sign() <= 0 {
			b.refuse(annotation("sidecar.istio.io/"+key), "%q is not an amount such as 100m or 128Mi", text)
		}
		at.list[at.name], said = q, true
	}
	if !said {
		return
	}
	// Istio's rule: with one of them said, the installation's others do not count. An empty list is none.
	w.resources = corev1.ResourceRequirements{}
	if len(own.Requests) > 0 {
		w.resources.Requests = own.Requests
	}
	if len(own.Limits) > 0 {
		w.resources.Limits = own.Limits
	}
	for name, limit := range own.Limits {
		if request, ok := own.Requests[name]; ok && request.Cmp(limit) > 0 {
			b.refuse(annotation("sidecar.istio.io/proxy"+map[corev1.ResourceName]string{corev1.ResourceCPU: "CPU", corev1.ResourceMemory: "Memory"}[name]),
				"%s is more than its limit %s", request.String(), limit.String())
		}
	}
}

func (b *builder) readReadiness() {
	const domain = "readiness.status.sidecar.istio.io/"
	w := &b.wants
	w.initialDelay = b.number(domain+"initialDelaySeconds", 0, 0, 86400)
	w.period = b.number(domain+"periodSeconds", 15, 1, 86400)
	w.fail = b.number(domain+"failureThreshold", 4, 1, 86400)
	w.readiness = readyPort
	w.statusPort = cmp.Or(w.config.StatusPort, 15020)
	if w.statusPort < 1 || w.statusPort > 65535 {
		b.refuse(annotation(keyProxyConfig), "statusPort %d is not a port", w.statusPort)
	}
	// Istio's rule: 0 means no probe of the proxy.
	if p := b.number("status.sidecar.istio.io/port", w.statusPort, 0, 65535); p == 0 {
		w.readiness = 0
	} else {
		w.statusPort = p
	}
}

func (b *builder) readVolumes() {
	var volumes map[string]corev1.Volume
	var mounts map[string]corev1.VolumeMount
	b.json("sidecar.istio.io/userVolume", &volumes)
	b.json("sidecar.istio.io/userVolumeMount", &mounts)
	for _, name := range slices.Sorted(maps.Keys(volumes)) {
		v := volumes[name]
		v.Name = name
		b.wants.volumes = append(b.wants.volumes, v)
	}
	for _, name := range slices.Sorted(maps.Keys(mounts)) {
		m := mounts[name]
		m.Name = name
		b.wants.mounts = append(b.wants.mounts, m)
	}
}

func (b *builder) json(key string, into any) {
	text, said := b.pod.Annotations[key]
	if !said {
		return
	}
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		b.refuse(annotation(key), "want a JSON object of names: %v", err)
	}
}

func (b *builder) flag(key string, unsaid bool) bool {
	return b.yes(annotation(key), b.pod.Annotations[key], unsaid)
}

func (b *builder) yes(field, text string, unsaid bool) bool {
	if text == "" {
		return unsaid
	}
	v, err := strconv.ParseBool(text)
	if err != nil {
		b.refuse(field, "%q is not true or false", text)
	}
	return v
}

func (b *builder) number(key string, unsaid, least, most int32) int32 {
	text, said := b.pod.Annotations[key]
	if !said {
		return unsaid
	}
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil || int32(n) < least || int32(n) > most {
		b.refuse(annotation(key), "%q is not a whole number from %d to %d", text, least, most)
		return unsaid
	}
	return int32(n)
}

func (b *builder) choice(key, unsaid string, values ...string) string {
	text, said := b.pod.Annotations[key]
	if !said {
		return unsaid
	}
	if !slices.Contains(values, text) {
		b.refuse(annotation(key), "%q is not one of %s", text, strings.Join(values, ", "))
	}
	return text
}

func (b *builder) readTraffic() {
	const domain = "traffic.sidecar.istio.io/"
	t := &b.wants.traffic
	t.includeOutboundRanges = b.list(domain+"includeOutboundIPRanges", "*", prefix)
	t.excludeOutboundRanges = b.list(domain+"excludeOutboundIPRanges", "", prefix)
	t.includeOutboundPorts = b.list(domain+"includeOutboundPorts", "", port)
	t.excludeOutboundPorts = b.list(domain+"excludeOutboundPorts", "", port)
	t.includeInboundPorts = b.list(domain+"includeInboundPorts", "*", port)
	t.excludeInboundPorts = b.list(domain+"excludeInboundPorts", "", port)
	t.excludeInterfaces = b.list(domain+"excludeInterfaces", "", device)
	own := []string{strconv.Itoa(int(b.wants.statusPort)), strconv.Itoa(readyPort), strconv.Itoa(statsPort)}
	t.excludeInboundPorts = strings.Join(unique(append(split(t.excludeInboundPorts), own...)), ",")
}

// list checks a list with commas; * stands for all where all is the default.
func (b *builder) list(key, unsaid string, check func(string) error) string {
	text, said := b.pod.Annotations[key]
	if !said {
		return unsaid
	}
	items := split(text)
	for _, item := range items {
		if item == "*" && len(items) == 1 && unsaid == "*" {
			continue
		}
		if err := check(item); err != nil {
			b.refuse(annotation(key), "%v", err)
		}
	}
	return strings.Join(items, ",")
}

func prefix(text string) error {
	if _, err := netip.ParsePrefix(text); err != nil {
		return fmt.Errorf("%q is not a range such as 10.0.0.0/8", text)
	}
	return nil
}

func port(text string) error {
	if n, err := strconv.ParseUint(text, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("%q is not a port", text)
	}
	return nil
}

// device checks the name of a network interface (IFNAMSIZ is 16 with the NUL).
func device(text string) error {
	if len(text) > 15 || strings.ContainsAny(text, "/ \t") {
		return fmt.Errorf("%q is not the name of a network interface", text)
	}
	return nil
}

func split(text string) (out []string) {
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item != "" {
			out = append(out, item)
		}
	}
	return out
}

func unique(list []string) (out []string) {
	for _, x := range list {
		if !slices.Contains(out, x) {
			out = append(out, x)
		}
	}
	return out
}
