package graph

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	promv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
	"golang.org/x/sync/errgroup"

	"github.com/heddle-mesh/heddle/telemetry"
)

// Samples are the answers to Queries.
type Samples struct {
	Requests, RequestBytes, ResponseBytes model.Vector
	Opened, Sent, Received                model.Vector
	Edges, Nodes                          [3]model.Vector
}

// Options say which graph is wanted.
type Options struct {
	Type       Type
	Time       time.Time     // the end of the window
	Window     time.Duration // at least the time between three scrapes, or rates are missing
	Namespaces []string      // only traffic with one end in one of these; none: all
}

// Source answers PromQL; a promv1.API does.
type Source interface {
	Query(ctx context.Context, expression string, at time.Time, opts ...promv1.Option) (model.Value, promv1.Warnings, promv1.Infos, error)
}

// atOnce bounds how many queries of one graph run at a time, so that others are served too.
const atOnce = 4

// timed is up to how many samples of requests durations are asked for, too: each stands for some 20 buckets, and all quantiles of 10,000 take longer than anybody waits.
const timed = 6000

// Read asks for the samples and builds the graph. Of a large graph durations are not asked for; a warning says so.
func Read(ctx context.Context, from Source, o Options) (*Graph, error) {
	q := NewQueries(o.Type, o.Window, o.Namespaces)
	var s Samples
	if err := askAll(ctx, from, o.Time, map[string]*model.Vector{
		q.Requests: &s.Requests, q.RequestBytes: &s.RequestBytes, q.ResponseBytes: &s.ResponseBytes, q.Opened: &s.Opened, q.Sent: &s.Sent, q.Received: &s.Received,
	}); err != nil {
		return nil, err
	}
	if len(s.Requests) > timed {
		g := Build(&s, o)
		g.Warnings = append(g.Warnings, "The graph is large, so that durations are left out; choose namespaces to see them.")
		return g, nil
	}
	quantiled := map[string]*model.Vector{}
	for i := range quantiles {
		quantiled[q.Edges[i]], quantiled[q.Nodes[i]] = &s.Edges[i], &s.Nodes[i]
	}
	if err := askAll(ctx, from, o.Time, quantiled); err != nil {
		return nil, err
	}
	return Build(&s, o), nil
}

// askAll asks several expressions, some at a time.
func askAll(ctx context.Context, from Source, at time.Time, expressions map[string]*model.Vector) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for expression, to := range expressions {
		group.Go(func() error {
			v, _, _, err := from.Query(ctx, expression, at)
			if err != nil {
				return fmt.Errorf("ask the metrics for the graph: %w", err)
			}
			vector, ok := v.(model.Vector)
			if !ok {
				return fmt.Errorf("ask the metrics for the graph: the answer is a %s, not a vector", v.Type())
			}
			*to = vector
			return nil
		})
	}
	return group.Wait()
}

// labels of one sample.
type labels model.Metric

// get is a label's value, "" when it is not there or not known.
func (l labels) get(name string) string {
	if v := string(l[model.LabelName(name)]); v != telemetry.Unknown {
		return v
	}
	return ""
}

type sample struct {
	labels labels
	value  float64
	order  model.Fingerprint
}

// ordered is a vector without values that are no numbers, in an order that does not depend on how it came, so that sums are the same to the last bit.
func ordered(v model.Vector) []sample {
	out := make([]sample, 0, len(v))
	for _, s := range v {
		if x := float64(s.Value); !math.IsNaN(x) && !math.IsInf(x, 0) {
			out = append(out, sample{labels(s.Metric), x, s.Metric.FastFingerprint()})
		}
	}
	slices.SortFunc(out, func(a, b sample) int { return cmp.Or(cmp.Compare(a.order, b.order), cmp.Compare(a.value, b.value)) })
	return out
}
