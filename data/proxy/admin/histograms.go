package admin

import (
	"fmt"
	"net/url"

	"github.com/heddle-mesh/heddle/data/proxy/stats"
)

// quantiles are those that Envoy tells of a histogram, in percent.
var quantiles = []float64{0, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 100}

// pair is a number of the latest interval and one of the whole time. Nothing is known of intervals, which Envoy writes as null where nothing was observed in them.
type pair struct {
	Cumulative *float64 `json:"cumulative"`
	Interval   *float64 `json:"interval"`
}

type quantilesOf struct {
	Name   string `json:"name"`
	Values []pair `json:"values"`
}

type bucket struct {
	UpperBound float64 `json:"upper_bound"`
	Interval   *uint64 `json:"interval"`
	Cumulative uint64  `json:"cumulative"`
}

type bucketsOf struct {
	Name    string   `json:"name"`
	Buckets []bucket `json:"buckets"`
}

// shape is the query histogram_buckets: quantiles, or buckets that hold what is below a bound, or what is between it and the one before.
type shape uint8

const (
	asQuantiles shape = iota
	asCumulative
	asDisjoint
)

func shapeOf(q url.Values) (shape, error) {
	switch v := q.Get("histogram_buckets"); v {
	case "", "none", "summary":
		return asQuantiles, nil
	case "cumulative":
		return asCumulative, nil
	case "disjoint":
		return asDisjoint, nil
	default:
		return 0, fmt.Errorf("usage: /stats?histogram_buckets=(none|summary|cumulative|disjoint)")
	}
}

// describe is Envoy's JSON of histograms.
func (s shape) describe(list []stats.Sample) any {
	if s == asQuantiles {
		computed := []quantilesOf{}
		for i := range list {
			q := quantilesOf{Name: list[i].Dotted}
			for _, p := range quantiles {
				q.Values = append(q.Values, pair{Cumulative: quantile(&list[i], p)})
			}
			computed = append(computed, q)
		}
		return map[string]any{"supported_quantiles": quantiles, "computed_quantiles": computed}
	}
	out := []bucketsOf{}
	for _, m := range list {
		b, sum := bucketsOf{Name: m.Dotted}, uint64(0)
		for i, bound := range m.Bounds {
			if sum += m.Buckets[i]; s == asDisjoint {
				sum = m.Buckets[i]
			}
			b.Buckets = append(b.Buckets, bucket{UpperBound: bound, Cumulative: sum})
		}
		out = append(out, b)
	}
	return out
}

// quantile estimates a value below which a share of all is, evenly spread within its bucket; nil where nothing was observed. What is above the last bound counts as that.
func quantile(m *stats.Sample, percent float64) *float64 {
	total := uint64(0)
	for _, n := range m.Buckets {
		total += n
	}
	if total == 0 {
		return nil
	}
	rank, below, low := percent/100*float64(total), 0.0, 0.0
	for i, n := range m.Buckets {
		if i == len(m.Bounds) {
			break
		}
		if n > 0 && below+float64(n) >= rank {
			v := low + (m.Bounds[i]-low)*(rank-below)/float64(n)
			return &v
		}
		below, low = below+float64(n), m.Bounds[i]
	}
	return &low
}
