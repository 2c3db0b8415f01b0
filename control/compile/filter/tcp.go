package filter

import (
	"net"
	"slices"
	"strconv"
	"time"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	namesv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/common/dynamic_forward_proxy/v3"
	tcpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"

	"github.com/heddle-mesh/heddle/control/compile/message"
	"github.com/heddle-mesh/heddle/control/compile/view"
	"github.com/heddle-mesh/heddle/mesh"
)

// Share is a cluster with its part of the connections.
type Share struct {
	Cluster string
	Weight  uint32
	Source  bool // connections of one source address keep to one endpoint
	Tunnel  *mesh.Tunnel
	// Names looks up the server name of the connection, to be called at NamePort; nil for a cluster that chooses by itself.
	Names    *namesv3.DnsCacheConfig
	NamePort uint16
}

// Limits bound a connection's time: Idle without a byte (0: Envoy's default, 1 hour), and Life in all (0: no bound).
type Limits struct{ Idle, Life time.Duration }

// TCP passes a connection on to one of the clusters; one that goes by the connection's server name is passed to alone.
func TCP(v *view.View, side mesh.Side, l Limits, shares ...Share) (out []*listenerv3.Filter) {
	if len(shares) == 1 && shares[0].Names != nil {
		out = append(out, lookupSNI(shares[0].Names, shares[0].NamePort))
	}
	p := &tcpv3.TcpProxy{
		StatPrefix: shares[0].Cluster, AccessLog: AccessLog(v, side), IdleTimeout: message.Set(l.Idle), MaxDownstreamConnectionDuration: message.Set(l.Life),
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
	TellTCP(v, p, side)
	if !v.Can(mesh.FeatureEntries) {
		if f := metrics(v, side, true); f != nil {
			out = append(out, network(statsName, f))
		}
	}
	return append(out, network("envoy.filters.network.tcp_proxy", p))
}
