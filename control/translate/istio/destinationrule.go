package istio

import (
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/mesh"
	networking "istio.io/api/networking/v1alpha3"
)

// policyFields are honoured in each of the four places where a traffic policy stands.
var policyFields = []string{
	"loadBalancer.simple", "loadBalancer.warmup.*", "loadBalancer.warmupDurationSecs", "loadBalancer.consistentHash.*", "loadBalancer.localityLbSetting.*", "loadBalancer.zoneAwareLbSetting.*",
	"connectionPool.tcp.maxConnections", "connectionPool.tcp.connectTimeout", "connectionPool.tcp.idleTimeout", "connectionPool.tcp.maxConnectionDuration",
	"connectionPool.tcp.tcpKeepalive.*",
	"connectionPool.http.http1MaxPendingRequests", "connectionPool.http.http2MaxRequests", "connectionPool.http.maxRequestsPerConnection",
	"connectionPool.http.maxRetries", "connectionPool.http.idleTimeout", "connectionPool.http.h2UpgradePolicy", "connectionPool.http.useClientProtocol",
	"connectionPool.http.maxConcurrentStreams", "connectionPool.http.http2KeepAlive.*", "loadBalancer.backendUtilization.*",
	"outlierDetection.consecutive5xxErrors", "outlierDetection.consecutiveGatewayErrors", "outlierDetection.consecutiveLocalOriginFailures",
	"outlierDetection.splitExternalLocalOriginErrors", "outlierDetection.interval", "outlierDetection.baseEjectionTime",
	"outlierDetection.maxEjectionPercent", "outlierDetection.minHealthPercent", "outlierDetection.consecutiveErrors",
	"outlierDetection.outlierDetectionHttpErrorCodes", "outlierDetection.failurePercentageThreshold",
	"tls.*", // judged by api.Unenforced
}

// destinationRuleFields are honoured; every other populated field gives a Problem and has no effect.
var destinationRuleFields = func() api.FieldSet {
	all := []string{"host", "exportTo", "trafficPolicy.retryBudget.percent", "trafficPolicy.retryBudget.minRetryConcurrency", "trafficPolicy.retryBudget.budgetInterval", "trafficPolicy.proxyProtocol.version", "subsets[].trafficPolicy.proxyProtocol.version",
		"subsets[].trafficPolicy.retryBudget.percent", "subsets[].trafficPolicy.retryBudget.minRetryConcurrency", "subsets[].trafficPolicy.retryBudget.budgetInterval",
		"trafficPolicy.tunnel.*", "subsets[].trafficPolicy.tunnel.*",
		"workloadSelector.matchLabels", "subsets[].name", "subsets[].labels",
		"trafficPolicy.portLevelSettings[].port.number", "subsets[].trafficPolicy.portLevelSettings[].port.number"}
	for _, prefix := range []string{"trafficPolicy.", "trafficPolicy.portLevelSettings[].", "subsets[].trafficPolicy.", "subsets[].trafficPolicy.portLevelSettings[]."} {
		for _, f := range policyFields {
			all = append(all, prefix+f)
		}
	}
	return api.Fields(all...)
}()

// DestinationRule gives how a host is called, or nil when the object is broken. TLS settings that cannot be enforced make the host unreachable: see
// mesh.ClientTLS.Denied.
func DestinationRule(o api.Object, in Lookup) (*mesh.Traffic, []mesh.Problem) {
	spec, ok := o.Spec.(*networking.DestinationRule)
	if !ok {
		return nil, nil
	}
	v := open(o, in)
	v.check(destinationRuleFields, nil)
	t := &mesh.Traffic{Origin: o.Ref(), Created: o.Meta.Created, ExportTo: v.exportTo(spec.ExportTo), Selector: spec.GetWorkloadSelector().GetMatchLabels()}
	t.Host, _ = v.host(spec.Host, "spec.host")
	s, found := in.Service(t.Host, v.ns)
	v.alias(s, "spec.host")
	if t.Host != "" && !t.Host.IsWildcard() && !found {
		v.NotFound("spec.host", "", "no service has the host %s that namespace %s sees", t.Host, v.ns)
	}
	denials := v.deniedTLS()
	t.Policy = v.policy(spec.TrafficPolicy, denials, len(t.Selector) > 0, "spec.trafficPolicy")
	for i, s := range spec.Subsets {
		path := at("spec.subsets", i)
		if s.GetName() == "" {
			v.Invalid(path+".name", "the subset has no name")
			continue
		}
		if strings.ContainsAny(s.Name, "|/ ") || len(s.Name) > 253 {
			v.Invalid(path+".name", "%q cannot be the name of a subset", shorten(s.Name))
		}
		if slices.ContainsFunc(t.Subsets, func(x mesh.Subset) bool { return x.Name == s.Name }) {
			v.Invalid(path+".name", "subset %s is defined twice", s.Name)
		}
		t.Subsets = append(t.Subsets, mesh.Subset{Name: s.Name, Labels: s.Labels, Policy: v.policy(s.TrafficPolicy, denials, len(t.Selector) > 0, path+".trafficPolicy")})
	}
	v.idleFailovers(t)
	if v.Broken() {
		return nil, v.Problems()
	}
	return t, v.Problems()
}

// idleFailovers tells of failovers that never happen, because nothing says that nearer endpoints have failed. A port's settings stand alone; a subset's come on top.
func (v *visit) idleFailovers(t *mesh.Traffic) {
	always := v.in.Settings().Baseline.Outlier != nil
	tell := func(p mesh.TrafficPolicy, outliers bool, path string) {
		if lb := p.LoadBalancer; lb != nil && lb.Locality != nil && !lb.Locality.Zoned && !outliers && len(lb.Locality.Failover)+len(lb.Locality.Labels) > 0 {
			v.Add(mesh.CodeNotEnforced, path+".loadBalancer.localityLbSetting", "set outlierDetection beside it", "without outlierDetection nothing tells that nearer endpoints fail, so it has no effect")
		}
	}
	each := func(p mesh.TrafficPolicy, inherited bool, path string) {
		tell(p, p.Outlier != nil || inherited, path)
		for _, port := range slices.Sorted(maps.Keys(p.Ports)) {
			tell(p.Ports[port], p.Ports[port].Outlier != nil || always, path+".portLevelSettings")
		}
	}
	each(t.Policy, always, "spec.trafficPolicy")
	for i, s := range t.Subsets {
		each(s.Policy, always || t.Policy.Outlier != nil, at("spec.subsets", i)+".trafficPolicy")
	}
}

func (v *visit) policy(p *networking.TrafficPolicy, denials []string, selected bool, path string) mesh.TrafficPolicy {
	if p == nil {
		return mesh.TrafficPolicy{}
	}
	out := mesh.TrafficPolicy{
		LoadBalancer: v.loadBalancer(p.LoadBalancer, path+".loadBalancer"),
		Pool:         v.pool(p.ConnectionPool, path+".connectionPool"),
		Outlier:      v.outlier(p.OutlierDetection, path+".outlierDetection"),
		TLS:          v.clientTLS(p.Tls, denials, selected, path+".tls"),
		Budget:       v.budget(p.RetryBudget, path+".retryBudget"),
		Proxy:        v.proxyHeader(p.ProxyProtocol, path+".proxyProtocol"),
	}
	out.Tunnel = v.tunnel(p.Tunnel, path+".tunnel")
	for i, s := range p.PortLevelSettings {
		path := at(path+".portLevelSettings", i)
		port := v.port(s.GetPort().GetNumber(), path+".port.number")
		if _, twice := out.Ports[port]; twice {
			v.Invalid(path+".port.number", "port %d has settings twice", port)
		}
		if out.Ports == nil {
			out.Ports = map[uint16]mesh.TrafficPolicy{}
		}
		out.Ports[port] = mesh.TrafficPolicy{
			LoadBalancer: v.loadBalancer(s.GetLoadBalancer(), path+".loadBalancer"),
			Pool:         v.pool(s.GetConnectionPool(), path+".connectionPool"),
			Outlier:      v.outlier(s.GetOutlierDetection(), path+".outlierDetection"),
			TLS:          v.clientTLS(s.GetTls(), denials, selected, path+".tls"),
		}
	}
	return out
}

// tunnel reads where a host is asked to pass connections on to.
func (v *visit) tunnel(x *networking.TrafficPolicy_TunnelSettings, path string) *mesh.Tunnel {
	if x == nil {
		return nil
	}
	t := &mesh.Tunnel{Host: x.TargetHost, Port: v.port(x.TargetPort, path+".targetPort"), Post: x.Protocol == "POST"}
	if x.Protocol != "" && x.Protocol != "POST" && x.Protocol != "CONNECT" {
		v.Add(mesh.CodeInvalid, path+".protocol", "write CONNECT or POST", "%q is not a way to ask for a tunnel", shorten(x.Protocol))
	}
	host, err := mesh.ParseHost(x.TargetHost)
	_, ipErr := netip.ParseAddr(x.TargetHost)
	if (err != nil || host.IsWildcard()) && ipErr != nil {
		v.Invalid(path+".targetHost", "%q is neither a host name nor an IP address", shorten(x.TargetHost))
	}
	return t
}
