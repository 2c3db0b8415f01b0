package admin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"github.com/heddle-mesh/heddle/data/proxy/stats"
)

// selection is what the queries filter, usedonly and type leave of the statistics.
func selection(q url.Values, name func(*stats.Sample) string) (func(*stats.Sample) bool, error) {
	filter, err := regexp.Compile(q.Get("filter"))
	if err != nil {
		return nil, fmt.Errorf("filter: %w", err)
	}
	kinds := map[string]stats.Kind{"Counters": stats.KindCounter, "Gauges": stats.KindGauge, "Histograms": stats.KindHistogram}
	kind, some := kinds[q.Get("type")]
	if t := q.Get("type"); !some && t != "" && t != "All" {
		return nil, fmt.Errorf("type: %q is not one of All, Counters, Gauges and Histograms", t)
	}
	return func(m *stats.Sample) bool {
		n := name(m)
		return n != "" && filter.MatchString(n) && (!some || m.Kind == kind) && (!q.Has("usedonly") || !m.Zero())
	}, nil
}

func dotted(m *stats.Sample) string { return m.Dotted }

func (s *Server) stats(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	format := q.Get("format")
	if format == "prometheus" {
		s.prometheus(w, r)
		return
	}
	keep, err := selection(q, dotted)
	form := asQuantiles
	if err == nil {
		form, err = shapeOf(q)
	}
	switch {
	case err != nil:
		http.Error(w, err.Error(), http.StatusBadRequest)
	case format == "json":
		s.statsJSON(w, keep, form)
	case format == "" || format == "text":
		w.Header().Set("Content-Type", "text/plain; charset=UTF-8")
		_ = s.Stats.WriteText(w, keep) // the reader is gone otherwise
	default:
		http.Error(w, "usage: /stats?format=(json|prometheus|text)", http.StatusBadRequest)
	}
}

// statsJSON is Envoy's list of names and values, the histograms behind all others.
func (s *Server) statsJSON(w http.ResponseWriter, keep func(*stats.Sample) bool, form shape) {
	type entry struct {
		Name  string `json:"name"`
		Value int64  `json:"value"`
	}
	list, histograms := []entry{}, []stats.Sample(nil)
	for _, m := range s.Stats.Snapshot() {
		if !keep(&m) {
			continue
		}
		if m.Kind == stats.KindHistogram {
			histograms = append(histograms, m)
			continue
		}
		value := m.Gauge
		if m.Kind == stats.KindCounter {
			value = int64(m.Value)
		}
		list = append(list, entry{m.Dotted, value})
	}
	slices.SortFunc(list, func(a, b entry) int { return strings.Compare(a.Name, b.Name) })
	all := make([]any, 0, len(list)+1)
	for _, e := range list {
		all = append(all, e)
	}
	if len(histograms) > 0 {
		slices.SortFunc(histograms, func(a, b stats.Sample) int { return strings.Compare(a.Dotted, b.Dotted) })
		all = append(all, map[string]any{"histograms": form.describe(histograms)})
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"stats": all}) // the reader is gone otherwise
}

// prometheus selects by the dotted names, where there are such, as Envoy does.
func (s *Server) prometheus(w http.ResponseWriter, r *http.Request) {
	keep, err := selection(r.URL.Query(), func(m *stats.Sample) string {
		if m.Dotted != "" {
			return m.Dotted
		}
		return m.Name
	})
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	_ = s.Stats.WritePrometheus(w, keep) // the reader is gone otherwise
	if r.URL.RawQuery == "" {
		_, _ = fmt.Fprintf(w, "# TYPE go_goroutines gauge\ngo_goroutines %d\n", runtime.NumGoroutine()) // the name is that of Prometheus' collector for Go
	}
}
