package filter

import (
	"time"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	tcpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"

	"github.com/heddle-mesh/heddle/control/compile/message"
	"github.com/heddle-mesh/heddle/mesh"
)

// Share is a cluster with its part of the connections.
type Share struct {
	Cluster string
	Weight  uint32
}

// TCP passes a connection on to one of the clusters. idle 0 is Envoy's default (1 hour).
func TCP(s *mesh.Settings, idle time.Duration, shares ...Share) *listenerv3.Filter {
	p := &tcpv3.TcpProxy{StatPrefix: shares[0].Cluster, AccessLog: AccessLog(s), IdleTimeout: message.Set(idle)}
	if len(shares) == 1 {
		p.ClusterSpecifier = &tcpv3.TcpProxy_Cluster{Cluster: shares[0].Cluster}
	} else {
		w := &tcpv3.TcpProxy_WeightedCluster{}
		for _, share := range shares {
			w.Clusters = append(w.Clusters, &tcpv3.TcpProxy_WeightedCluster_ClusterWeight{Name: share.Cluster, Weight: share.Weight})
		}
		p.ClusterSpecifier = &tcpv3.TcpProxy_WeightedClusters{WeightedClusters: w}
	}
	return network("envoy.filters.network.tcp_proxy", p)
}
