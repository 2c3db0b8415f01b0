package filter

import (
	"net"
	"slices"
	"strconv"
	"time"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	tcpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"

	"github.com/heddle-mesh/heddle/control/compile/message"
	"github.com/heddle-mesh/heddle/mesh"
)

// Share is a cluster with its part of the connections.
type Share struct {
	Cluster string
	Weight  uint32
	Source  bool // connections of one source address keep to one endpoint
	Tunnel  *mesh.Tunnel
}

// Limits bound a connection's time: Idle without a byte (0: Envoy's default, 1 hour), and Life in all (0: no bound).
type Limits struct{ Idle, Life time.Duration }

// TCP passes a connection on to one of the clusters.
func TCP(s *mesh.Settings, l Limits, shares ...Share) *listenerv3.Filter {
	p := &tcpv3.TcpProxy{
		StatPrefix: shares[0].Cluster, AccessLog: AccessLog(s), IdleTimeout: message.Set(l.Idle), MaxDownstreamConnectionDuration: message.Set(l.Life),
	}
	if len(shares) == 1 {
		p.ClusterSpecifier = &tcpv3.TcpProxy_Cluster{Cluster: shares[0].Cluster}
	} else {
		w := &tcpv3.TcpProxy_WeightedCluster{}
		for _, share := range shares {
			w.Clusters = append(w.Clusters, &tcpv3.TcpProxy_WeightedCluster_ClusterWeight{Name: share.Cluster, Weight: share.Weight})
		}
		p.ClusterSpecifier = &tcpv3.TcpProxy_WeightedClusters{WeightedClusters: w}
	}
	if slices.ContainsFunc(shares, func(s Share) bool { return s.Source }) {
		p.HashPolicy = []*typev3.HashPolicy{{PolicySpecifier: &typev3.HashPolicy_SourceIp_{SourceIp: &typev3.HashPolicy_SourceIp{}}}}
	}
	if t := shares[0].Tunnel; t != nil {
		p.TunnelingConfig = &tcpv3.TcpProxy_TunnelingConfig{Hostname: net.JoinHostPort(t.Host, strconv.Itoa(int(t.Port))), UsePost: t.Post}
	}
	return network("envoy.filters.network.tcp_proxy", p)
}
