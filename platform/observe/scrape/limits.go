package scrape

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/scrape"
	"github.com/prometheus/prometheus/storage"
)

// Limits bound how many series there may be. What is beyond them is refused, counted by target and told in the log; series that are there already go on.
type Limits struct {
	Series    int // in all
	PerTarget int // of one target, those that a scrape adds on its own (up and its like) not counted
}

// counted is a store that tells how many series it holds.
type counted interface {
	storage.Storage
	Series() int
}

// limited is a store that takes no series beyond the limits.
type limited struct {
	counted
	limits  Limits
	log     *slog.Logger
	refused *prometheus.CounterVec

	mu      sync.Mutex
	targets map[targetID]*targetSeries
}

// targetID names a target in metrics and logs.
type targetID struct{ job, instance string }

// targetSeries is what is known of one target's series. Its scrapes do not overlap.
type targetSeries struct {
	id     targetID
	labels int       // that every series of the target has
	known  int       // series that the last scrape stored
	used   time.Time // when a scrape began last
	told   time.Time // when a refusal was logged last
}

// idle targets are forgotten after this time.
const idle = 10 * time.Minute

// tellEvery bounds how often the log tells of refusals by one target.
const tellEvery = time.Minute

func newLimited(s counted, l Limits, log *slog.Logger, reg prometheus.Registerer) *limited {
	refused := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "heddle_observe_refused_samples_total",
		Help: "Samples of series that were refused, by target and by the limit that they were beyond: target or total.",
	}, []string{"scrape_job", "scrape_instance", "limit"})
	series := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "heddle_observe_series_limit", Help: "How many series there may be: of one target, and in all."}, []string{"limit"})
	series.WithLabelValues("target").Set(float64(l.PerTarget))
	series.WithLabelValues("total").Set(float64(l.Series))
	reg.MustRegister(refused, series)
	return &limited{counted: s, limits: l, log: log, refused: refused, targets: map[targetID]*targetSeries{}}
}

// AppenderV2 begins a scrape of the target in the context.
func (l *limited) AppenderV2(ctx context.Context) storage.AppenderV2 {
	return &limitedAppender{AppenderV2: l.counted.AppenderV2(ctx), all: l, target: l.target(ctx)}
}

func (l *limited) target(ctx context.Context) *targetSeries {
	t, ok := scrape.TargetFromContext(ctx)
	if !ok {
		return &targetSeries{}
	}
	id := targetID{job: t.GetValue(model.JobLabel), instance: t.GetValue(model.InstanceLabel)}
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.targets[id]
	if s == nil {
		for other, o := range l.targets {
			if now.Sub(o.used) > idle {
				delete(l.targets, other)
				l.refused.DeletePartialMatch(prometheus.Labels{"scrape_job": other.job, "scrape_instance": other.instance})
			}
		}
		s = &targetSeries{id: id, labels: t.Labels(labels.NewBuilder(labels.EmptyLabels())).Len()}
		l.targets[id] = s
	}
	s.used = now
	return s
}

// limitedAppender is one scrape.
type limitedAppender struct {
	storage.AppenderV2
	all        *limited
	target     *targetSeries
	old, fresh int // series that were known before, and those that are new
	refused    [2]int
}

// Which limit a sample was beyond.
const (
	byTarget = iota
	byTotal
)

// Append stores a sample, unless it begins a series beyond a limit: that is refused by the reference 0, with which nothing of it is remembered as stored.
func (a *limitedAppender) Append(ref storage.SeriesRef, ls labels.Labels, st, t int64, v float64, h *histogram.Histogram, fh *histogram.FloatHistogram, o storage.AOptions) (storage.SeriesRef, error) {
	if ref == 0 && !a.ofScrape(ls) {
		if limit, beyond := a.beyond(ls); beyond {
			a.refused[limit]++
			return 0, nil
		}
		a.fresh++
	} else if ref != 0 && !value.IsStaleNaN(v) {
		a.old++
	}
	return a.AppenderV2.Append(ref, ls, st, t, v, h, fh, o)
}

// beyond says whether a series that this scraper has not stored yet would be one too many.
func (a *limitedAppender) beyond(ls labels.Labels) (limit int, beyond bool) {
	if max(a.target.known, a.old)+a.fresh >= a.all.limits.PerTarget {
		return byTarget, true
	}
	if a.all.Series() < a.all.limits.Series {
		return 0, false
	}
	// After a restart the scraper knows no series, but the store does.
	if r, ok := a.AppenderV2.(storage.GetRef); ok {
		if ref, _ := r.GetRef(ls, ls.Hash()); ref != 0 {
			return 0, false
		}
	}
	return byTotal, true
}

// ofScrape says whether a series is one that a scrape adds on its own: it has only the target's labels.
func (a *limitedAppender) ofScrape(ls labels.Labels) bool {
	switch ls.Get(model.MetricNameLabel) {
	case "up", "scrape_duration_seconds", "scrape_samples_scraped", "scrape_samples_post_metric_relabeling", "scrape_series_added",
		"scrape_timeout_seconds", "scrape_sample_limit", "scrape_body_size_bytes":
		return ls.Len() <= a.target.labels+1
	}
	return false
}

// Commit ends a scrape that went well, or one that failed and marks its series as stale.
func (a *limitedAppender) Commit() error {
	if a.old+a.fresh+a.refused[byTarget]+a.refused[byTotal] > 0 {
		a.target.known = a.old + a.fresh
	}
	for limit, name := range []string{byTarget: "target", byTotal: "total"} {
		if n := a.refused[limit]; n > 0 {
			a.all.refused.WithLabelValues(a.target.id.job, a.target.id.instance, name).Add(float64(n))
			a.tell(name, n)
		}
	}
	return a.AppenderV2.Commit()
}

func (a *limitedAppender) tell(limit string, n int) {
	if now := time.Now(); now.Sub(a.target.told) > tellEvery {
		a.target.told = now
		a.all.log.Warn("series beyond a limit are refused", "job", a.target.id.job, "instance", a.target.id.instance, "limit", limit, "refused", n,
			"stored", a.target.known, "of-target", a.all.limits.PerTarget, "in-all", a.all.limits.Series)
	}
}
