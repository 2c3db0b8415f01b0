package query

import (
	"net/http"
	"slices"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/timestamp"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"google.golang.org/protobuf/proto"
)

// federate gives the latest samples of the series that match[] selects, for another Prometheus to scrape. Native histograms are left out: that format has none.
func (h *Handler) federate(language parser.Parser) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		selectors, err := language.ParseMetricSelectors(r.URL.Query()["match[]"])
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if len(selectors) == 0 {
			http.Error(w, "say which series with match[], such as /federate?match[]=istio_requests_total", http.StatusBadRequest)
			return
		}
		samples, err := h.latest(r, selectors)
		if err != nil {
			http.Error(w, err.Error(), http.StatusUnprocessableEntity)
			return
		}
		format := expfmt.NewFormat(expfmt.TypeTextPlain)
		w.Header().Set("Content-Type", string(format))
		out := expfmt.NewEncoder(w, format)
		outside := h.o.Config().GlobalConfig.ExternalLabels
		for len(samples) > 0 {
			name := samples[0].Metric.Get(model.MetricNameLabel)
			n := slices.IndexFunc(samples, func(s promql.Sample) bool { return s.Metric.Get(model.MetricNameLabel) != name })
			if n < 0 {
				n = len(samples)
			}
			if err := out.Encode(family(name, samples[:n], outside)); err != nil {
				h.o.Log.Debug("a federation ended early", "error", err)
				return
			}
			samples = samples[n:]
		}
	}
}

// latest is the latest sample of each series, by name and then by labels.
func (h *Handler) latest(r *http.Request, selectors [][]*labels.Matcher) ([]promql.Sample, error) {
	now := time.Now()
	from, to := timestamp.FromTime(now.Add(-h.o.Limits.Lookback)), timestamp.FromTime(now)
	q, err := h.o.Store.Querier(from, to)
	if err != nil {
		return nil, err
	}
	defer func() { _ = q.Close() }()
	var sets []storage.SeriesSet
	for _, s := range selectors {
		sets = append(sets, q.Select(r.Context(), true, &storage.SelectHints{Start: from, End: to}, s...))
	}
	var samples []promql.Sample
	var it chunkenc.Iterator
	for all := storage.NewMergeSeriesSet(sets, 0, storage.ChainedSeriesMerge); ; {
		if !all.Next() {
			slices.SortStableFunc(samples, func(a, b promql.Sample) int {
				return strings.Compare(a.Metric.Get(model.MetricNameLabel), b.Metric.Get(model.MetricNameLabel))
			})
			return samples, all.Err()
		}
		if len(samples) >= h.o.Limits.Samples {
			return nil, promql.ErrTooManySamples("federation")
		}
		s := promql.Sample{Metric: all.At().Labels(), T: -1}
		it = all.At().Iterator(it)
		for kind := it.Next(); kind != chunkenc.ValNone; kind = it.Next() {
			if s.T = -1; kind == chunkenc.ValFloat {
				s.T, s.F = it.At()
			}
		}
		if err := it.Err(); err != nil {
			return nil, err
		}
		if s.T >= 0 && !value.IsStaleNaN(s.F) && s.Metric.Get(model.MetricNameLabel) != "" {
			samples = append(samples, s)
		}
	}
}

// family writes samples with one name, with the labels that this store has for the world outside.
func family(name string, samples []promql.Sample, outside labels.Labels) *dto.MetricFamily {
	f := &dto.MetricFamily{Name: proto.String(name), Type: dto.MetricType_UNTYPED.Enum()}
	for _, s := range samples {
		m := &dto.Metric{TimestampMs: proto.Int64(s.T), Untyped: &dto.Untyped{Value: proto.Float64(s.F)}}
		add := func(l labels.Label) {
			if l.Name != model.MetricNameLabel {
				m.Label = append(m.Label, &dto.LabelPair{Name: proto.String(l.Name), Value: proto.String(l.Value)})
			}
		}
		s.Metric.Range(add)
		outside.Range(func(l labels.Label) {
			if !s.Metric.Has(l.Name) {
				add(l)
			}
		})
		// Without an instance of its own the sample would get that of this store.
		if !s.Metric.Has(model.InstanceLabel) && !outside.Has(model.InstanceLabel) {
			add(labels.Label{Name: model.InstanceLabel})
		}
		f.Metric = append(f.Metric, m)
	}
	return f
}
