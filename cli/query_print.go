package cli

import (
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
)

// printValue prints the answer to a query. JSON and YAML are what the API says under data; a table and CSV have a column per label and a row per value.
func printValue(w io.Writer, format string, v model.Value) error {
	answer := struct {
		Type   model.ValueType `json:"resultType"`
		Result model.Value     `json:"result"`
	}{v.Type(), v}
	if ok, err := structured(w, format, answer); ok {
		return err
	}
	t := valueTable(v)
	if format == "csv" {
		out := csv.NewWriter(w)
		if err := out.WriteAll(append([][]string{t.header}, t.rows...)); err != nil {
			return fmt.Errorf("print as CSV: %w", err)
		}
		return nil
	}
	if len(t.rows) == 0 {
		_, err := fmt.Fprintln(w, "no series")
		return err
	}
	for i, h := range t.header {
		t.header[i] = strings.ToUpper(h)
	}
	for _, r := range t.rows {
		for i := range r {
			r[i] = escaped(r[i])
		}
	}
	return t.print(w)
}

// valueTable has the name of the metric first, then the labels, the time and the value.
func valueTable(v model.Value) *table {
	switch v := v.(type) {
	case *model.Scalar:
		return &table{header: []string{"value"}, rows: [][]string{{v.Value.String()}}}
	case model.Vector:
		names := labelNames(v, func(s *model.Sample) model.Metric { return s.Metric })
		t := newTable(headed(names, "value")...)
		for _, s := range v {
			value := s.Value.String()
			if s.Histogram != nil {
				value = s.Histogram.String()
			}
			t.add(append(cells(s.Metric, names), value)...)
		}
		return t
	case model.Matrix:
		names := labelNames(v, func(s *model.SampleStream) model.Metric { return s.Metric })
		t := newTable(headed(names, "time", "value")...)
		for _, s := range v {
			for _, p := range s.Values {
				t.add(append(cells(s.Metric, names), p.Timestamp.Time().UTC().Format(time.RFC3339), p.Value.String())...)
			}
			for _, p := range s.Histograms {
				t.add(append(cells(s.Metric, names), p.Timestamp.Time().UTC().Format(time.RFC3339), p.Histogram.String())...)
			}
		}
		return t
	}
	return newTable("value")
}

// labelNames are the names of all labels, that of the metric first.
func labelNames[S ~[]E, E any](all S, metric func(E) model.Metric) []model.LabelName {
	seen := map[model.LabelName]bool{}
	for _, s := range all {
		for name := range metric(s) {
			seen[name] = true
		}
	}
	var names []model.LabelName
	for name := range seen {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b model.LabelName) int {
		if first := model.LabelName(model.MetricNameLabel); a == first || b == first {
			return map[bool]int{true: -1, false: 1}[a == first]
		}
		return strings.Compare(string(a), string(b))
	})
	return names
}

func headed(names []model.LabelName, more ...string) (header []string) {
	for _, n := range names {
		if n == model.MetricNameLabel {
			n = "metric"
		}
		header = append(header, string(n))
	}
	return append(header, more...)
}

func cells(m model.Metric, names []model.LabelName) (row []string) {
	for _, n := range names {
		row = append(row, string(m[n]))
	}
	return row
}
