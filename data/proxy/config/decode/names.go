package decode

import (
	"math"
	"net/netip"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	dfpclusterv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/clusters/dynamic_forward_proxy/v3"
	namesv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/common/dynamic_forward_proxy/v3"
	snidfpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/sni_dynamic_forward_proxy/v3"

	"github.com/heddle-mesh/heddle/data/proxy/config"
)

// Envoy's defaults for names that clients give.
const (
	defaultNameRefresh = time.Minute
	defaultNameLeast   = 5 * time.Second
	defaultNameUnused  = 5 * time.Minute
	defaultNameTimeout = 5 * time.Second
	defaultNames       = 1024
	defaultNamePending = 1024
)

// clientNames reads a cluster whose hosts are those that clients name.
func (r *read) clientNames(path string, m *clusterv3.Cluster, c *config.Cluster) {
	path = join(path, "cluster_type.typed_config")
	t, ok := into[*dfpclusterv3.ClusterConfig](&r.problems, path, m.GetClusterType().GetTypedConfig())
	if !ok {
		return
	}
	c.Type, c.Names = config.ClientNames, r.nameCache(path+".dns_cache_config", t.GetDnsCacheConfig())
	says := m.GetMetadata().GetFilterMetadata()["heddle.dev/names"].GetFields()
	c.Reach.Host = says["host"].GetStringValue()
	for _, v := range says["allow"].GetListValue().GetValues() {
		p, err := netip.ParsePrefix(v.GetStringValue())
		if err != nil {
			r.add("metadata.filter_metadata[\"heddle.dev/names\"].allow", "%q is not a CIDR block", v.GetStringValue())
			continue
		}
		c.Reach.Allow = append(c.Reach.Allow, p)
	}
}

// ownNames wants servers with TLS to prove the names that they are asked for, as Envoy does, unless the cluster says that it may be otherwise.
func (r *read) ownNames(path string, m *clusterv3.Cluster, c *config.Cluster) {
	if c.Type != config.ClientNames || c.TLS == nil || c.TLS.AutoSNI && c.TLS.AutoSAN {
		return
	}
	t, ok := into[*dfpclusterv3.ClusterConfig](&r.problems, path, m.GetClusterType().GetTypedConfig())
	if ok && !t.GetAllowInsecureClusterOptions() {
		r.add(join(path, "cluster_type.typed_config.allow_insecure_cluster_options"), "servers need not prove the names that they are asked for: set auto_sni and auto_san_validation, or this field")
	}
}

func (r *read) nameCache(path string, m *namesv3.DnsCacheConfig) *config.Names {
	n := &config.Names{
		Name:    m.GetName(),
		Family:  nameFamilies[m.GetDnsLookupFamily()],
		Refresh: r.positive(path+".dns_refresh_rate", m.GetDnsRefreshRate(), defaultNameRefresh), Least: r.positive(path+".dns_min_refresh_rate", m.GetDnsMinRefreshRate(), defaultNameLeast),
		Unused: r.positive(path+".host_ttl", m.GetHostTtl(), defaultNameUnused), Timeout: r.positive(path+".dns_query_timeout", m.GetDnsQueryTimeout(), defaultNameTimeout),
		Most: int(number(m.GetMaxHosts(), defaultNames)), Pending: int(number(m.GetDnsCacheCircuitBreaker().GetMaxPendingRequests(), defaultNamePending)),
	}
	if n.Name == "" {
		r.add(path+".name", "it is empty")
	}
	if n.Most == 0 {
		r.add(path+".max_hosts", "want 1 or more")
	}
	return n
}

var nameFamilies = map[clusterv3.Cluster_DnsLookupFamily]config.DNSFamily{
	clusterv3.Cluster_V4_ONLY: config.DNSV4, clusterv3.Cluster_V6_ONLY: config.DNSV6, clusterv3.Cluster_ALL: config.DNSAll, clusterv3.Cluster_V4_PREFERRED: config.DNSAll,
}

func (r *read) nameForward(path string, m *snidfpv3.FilterConfig) *config.NameForward {
	port := m.GetPortValue()
	if port == 0 || port > math.MaxUint16 {
		r.add(path+".port_value", "%d is not a port", port)
	}
	return &config.NameForward{Names: r.nameCache(path+".dns_cache_config", m.GetDnsCacheConfig()), Port: uint16(port)}
}
