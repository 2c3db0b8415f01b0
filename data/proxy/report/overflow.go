package report

import (
	"hash/maphash"
	"sync"

	"github.com/heddle-mesh/heddle/data/proxy/stats"
	"github.com/heddle-mesh/heddle/telemetry"
)

// MostCombinations is how many combinations of labels a proxy tells apart: half of the numbers that its registry has room for, if all of them were of requests.
const MostCombinations = 4096

// combinations are those of a proxy. What comes beyond the bound is counted in series that say no more than what configuration bounds: sums, rates and shares of errors stay right, and nobody who
// chooses a path or a header can fill the memory.
type combinations struct {
	most int
	over stats.Handle

	mu    sync.Mutex
	seed  maphash.Seed
	known map[uint64]struct{} // by their hashes
}

func newCombinations(r *stats.Registry) *combinations {
	return &combinations{
		most: MostCombinations, seed: maphash.MakeSeed(), known: map[uint64]struct{}{},
		over: r.Counter(stats.Desc{Name: "heddle_metrics_overflow_total", Help: "Requests and connections whose labels were beyond the number that the proxy tells apart.", Dotted: "metrics.overflow"}),
	}
}

// planned are facts with what their plan says.
type planned struct {
	Facts
	plan string
}

// admit says whether a combination is one of those that are told apart.
func (c *combinations) admit(f *Facts) bool {
	plain := *f
	plain.Plan = nil // a new configuration has new ones, which mostly say the same
	h := maphash.Comparable(c.seed, planned{plain, f.Plan.String()})
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.known[h]; ok {
		return true
	}
	if len(c.known) >= c.most {
		return false
	}
	c.known[h] = struct{}{}
	return true
}

// coarse are the labels that series of overflow keep.
var coarse = map[telemetry.Label]bool{
	telemetry.Reporter: true, telemetry.DestinationService: true, telemetry.DestinationServiceName: true, telemetry.DestinationServiceNamespace: true, telemetry.RequestProtocol: true,
	telemetry.ResponseCode: true, telemetry.GRPCResponseStatus: true, telemetry.ConnectionSecurityPolicy: true,
}

// blur makes labels those of a series of overflow.
func blur(values *[telemetry.LabelCount]string) {
	for i := range values {
		if !coarse[telemetry.Label(i)] {
			values[i] = telemetry.Overflow
		}
	}
}
