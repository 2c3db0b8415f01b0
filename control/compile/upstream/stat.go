package upstream

import (
	"strconv"
	"strings"

	"github.com/heddle-mesh/heddle/control/compile/view"
	"github.com/heddle-mesh/heddle/mesh"
)

// statName is the name under which the cluster's statistics are kept where the mesh has a pattern for it (MeshConfig.outboundClusterStatName).
func (t *target) statName(v *view.View) string {
	return named(v.Settings().OutboundStat, t.service, t.port, "%SUBSET_NAME%", t.subset)
}

// inboundStat is the same for a port of the proxy's own workload (inboundClusterStatName).
func inboundStat(v *view.View, in view.InboundPort) string {
	if len(in.Targets) == 0 {
		return ""
	}
	first := in.Targets[0]
	return named(v.Settings().InboundStat, first.Service, first.Port, "%TARGET_PORT%", strconv.Itoa(int(in.Number)))
}

func named(pattern string, s *mesh.Service, p mesh.Port, key, value string) string {
	if pattern == "" {
		return ""
	}
	name := s.ShortName
	if name == "" {
		name = string(s.ID.Host)
	}
	short := name + "." + string(s.ID.Namespace)
	if s.ShortName == "" {
		short = name
	}
	return strings.NewReplacer("%SERVICE%", short, "%SERVICE_NAME%", name, "%SERVICE_FQDN%", string(s.ID.Host), "%SERVICE_PORT%", strconv.Itoa(int(p.Number)),
		"%SERVICE_PORT_NAME%", p.Name, key, value).Replace(pattern)
}
