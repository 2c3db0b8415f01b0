package decode

import (
	grpcstatsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/grpc_stats/v3"

	"github.com/heddle-mesh/heddle/data/proxy/config"
)

func (r *read) grpcStats(path string, m *grpcstatsv3.FilterConfig) *config.GRPCStats {
	c := &config.GRPCStats{All: m.GetStatsForAllMethods().GetValue(), Upstream: m.GetEnableUpstreamStats(), Underscores: m.GetReplaceDotsInGrpcServiceName()}
	for i, s := range m.GetIndividualMethodStatsAllowlist().GetServices() {
		p := at(path+".individual_method_stats_allowlist", "services", i)
		if s.GetName() == "" {
			r.add(p+".name", "it is empty")
		}
		if len(s.GetMethodNames()) == 0 {
			r.add(p+".method_names", "it is empty")
		}
		if c.Methods == nil {
			c.Methods = map[string]map[string]bool{}
		}
		if c.Methods[s.GetName()] == nil {
			c.Methods[s.GetName()] = map[string]bool{}
		}
		for _, name := range s.GetMethodNames() {
			c.Methods[s.GetName()][name] = true
		}
	}
	if c.Underscores && !c.All {
		r.add(path+".replace_dots_in_grpc_service_name", "it has an effect with stats_for_all_methods only")
	}
	return c
}
