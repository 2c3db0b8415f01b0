package upstream

import (
	"strings"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/telemetry/tap"
)

// Choice notes how an endpoint was chosen. A Chooser writes it where Need.Note says, without an allocation; it keeps nothing of the cluster alive, and Reason spells it out when
// somebody asks. The zero Choice is that of nobody.
type Choice struct {
	direct  string // what named the endpoint, "" where the policy chose among several
	subset  string // the view's name
	place   *string
	made    bool
	policy  config.Policy
	fell    bool // a subset that was not asked for
	panic   bool
	set     int16 // among those of the view: first the healthy endpoints of each priority, then the degraded ones
	levels  int16
	drawn   int16 // how many endpoints were drawn before, and avoided
	places  int16 // localities that have a share
	all     int32
	healthy int32
	among   int32
	active  int32 // requests in flight at the endpoint
}

// policies are the names of the policies.
var policies = [...]string{config.RoundRobin: "round_robin", config.LeastRequest: "least_request", config.Random: "random", config.ClusterProvided: "cluster_provided", config.RingHash: "ring_hash", config.Maglev: "maglev", config.PeakEWMA: "peak_ewma"}

// NamedBy is the choice of an endpoint that something names.
func NamedBy(what string) Choice { return Choice{made: true, direct: what} }

// Reason spells the choice out; nil when nothing was chosen.
func (c *Choice) Reason() *tap.Choice {
	if !c.made {
		return nil
	}
	r := &tap.Choice{Policy: c.direct, InFlight: int(c.active)}
	if c.place != nil {
		r.Locality = *c.place
	}
	if c.direct != "" {
		return r
	}
	r.Policy, r.Fallback, r.Avoided = policies[c.policy], c.fell, int(c.drawn)
	r.Priority, r.Priorities, r.Health = int(c.set%c.levels), int(c.levels), "healthy"
	switch {
	case c.set >= c.levels:
		r.Health = "degraded"
	case c.panic:
		r.Health = "any"
	}
	r.Endpoints, r.Healthy, r.Candidates, r.Localities = int(c.all), int(c.healthy), int(c.among), int(c.places)
	r.Subset = strings.ReplaceAll(strings.TrimSuffix(c.subset, "\n."), "\n", ",")
	return r
}

// choiceOf notes what is known when an endpoint of a group of one of the view's sets was chosen.
func choiceOf(h *Host, def *config.Cluster, v *view, set, group int) Choice {
	levels := len(v.levels)
	l, s := &v.levels[set%levels], &v.sets[set]
	return Choice{
		made: true, policy: def.Policy, place: h.where.Load(), subset: v.name, panic: s.panic, set: int16(set), levels: int16(levels), places: int16(len(s.groups)),
		all: int32(l.All), healthy: int32(l.Healthy), among: int32(len(s.groups[group].hosts)), active: h.active.Load(),
	}
}

// placeName is REGION/ZONE/SUBZONE, as far as they are known.
func placeName(l *config.Locality) string {
	return strings.TrimRight(l.Region+"/"+l.Zone+"/"+l.Subzone, "/")
}
