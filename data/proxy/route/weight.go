package route

import "github.com/heddle-mesh/heddle/data/proxy/config"

// Pick chooses one of weighted clusters by a random number.
func Pick(f *config.Forward, random uint64) *config.WeightedCluster {
	if f.TotalWeight == 0 {
		return nil
	}
	n := uint32(random % uint64(f.TotalWeight))
	for i := range f.Weighted {
		if w := f.Weighted[i].Weight; n < w {
			return &f.Weighted[i]
		} else {
			n -= w
		}
	}
	return nil
}
