package admin

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/heddle-mesh/heddle/data/proxy/stats"
)

// TestHistogramsInJSON: quantiles lie evenly within a bucket, and nothing is said of what was not observed.
func TestHistogramsInJSON(t *testing.T) {
	r := stats.New()
	bounds := []float64{1, 5, 10}
	seen, empty := r.Histogram(stats.Desc{Name: "seen", Dotted: "seen"}, bounds), r.Histogram(stats.Desc{Name: "empty", Dotted: "empty"}, bounds)
	shard := r.NewShard()
	for _, v := range []uint64{3, 4, 5, 6, 99} {
		shard.Observe(seen, v)
	}
	_ = empty
	list := r.Snapshot()
	for p, want := range map[float64]float64{0: 1, 25: 1 + 5.0/3, 50: 1 + 10.0/3, 75: 8.75, 90: 10, 100: 10} {
		if got := quantile(&list[1], p); got == nil || math.Abs(*got-want) > 1e-9 {
			t.Errorf("the quantile %v is %v, want %v", p, got, want)
		}
	}
	if b, err := json.Marshal(asQuantiles.describe(list[:1])); err != nil || string(b) != `{"computed_quantiles":[{"name":"empty","values":[`+nulls+`]}],"supported_quantiles":[0,25,50,75,90,95,99,99.5,99.9,100]}` {
		t.Errorf("%s, %v", b, err)
	}
	for form, want := range map[shape]string{
		asCumulative: `[{"name":"empty","buckets":[{"upper_bound":1,"interval":null,"cumulative":0},{"upper_bound":5,"interval":null,"cumulative":0},{"upper_bound":10,"interval":null,"cumulative":0}]},` +
			`{"name":"seen","buckets":[{"upper_bound":1,"interval":null,"cumulative":0},{"upper_bound":5,"interval":null,"cumulative":3},{"upper_bound":10,"interval":null,"cumulative":4}]}]`,
		asDisjoint: `[{"name":"empty","buckets":[{"upper_bound":1,"interval":null,"cumulative":0},{"upper_bound":5,"interval":null,"cumulative":0},{"upper_bound":10,"interval":null,"cumulative":0}]},` +
			`{"name":"seen","buckets":[{"upper_bound":1,"interval":null,"cumulative":0},{"upper_bound":5,"interval":null,"cumulative":3},{"upper_bound":10,"interval":null,"cumulative":1}]}]`,
	} {
		if b, err := json.Marshal(form.describe(list)); err != nil || string(b) != want {
			t.Errorf("form %d: %v\n%s\nwant\n%s", form, err, b, want)
		}
	}
}

const (
	null  = `{"cumulative":null,"interval":null}`
	nulls = null + "," + null + "," + null + "," + null + "," + null + "," + null + "," + null + "," + null + "," + null + "," + null
)
