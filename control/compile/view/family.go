package view

import clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"

// Family is which addresses of a name the proxy can use.
func (v *View) Family() clusterv3.Cluster_DnsLookupFamily {
	switch {
	case v.HasIPv4() && v.HasIPv6():
		return clusterv3.Cluster_ALL
	case v.HasIPv6():
		return clusterv3.Cluster_V6_ONLY
	}
	return clusterv3.Cluster_V4_ONLY
}
