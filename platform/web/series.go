package web

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	promv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
	"golang.org/x/sync/errgroup"
)

// Ranger answers PromQL over a time; a promv1.API does.
type Ranger interface {
	QueryRange(ctx context.Context, expression string, r promv1.Range, opts ...promv1.Option) (model.Value, promv1.Warnings, promv1.Infos, error)
}

// Points of a line: enough for the width of a chart.
const (
	points   = 120
	minStep  = 5 * time.Second
	minRange = time.Minute
)

// chart is one thing over time, as lines on one axis.
type chart struct {
	Name  string `json:"name"`
	Unit  string `json:"unit"` // requests, milliseconds, bytes, seconds, share, count, or per second of these: requests/s
	Lines []line `json:"lines"`
	Query string `json:"query"` // the first expression, for whoever wants it elsewhere
}

// line has a value for each step, null where nothing is known.
type line struct {
	Name   string     `json:"name"`
	Values []*float64 `json:"values"`
}

// asked is one expression: its lines have the name, or the values of a label.
type asked struct {
	name, expression, by string
}

// plot is a chart before it is asked for.
type plot struct {
	name, unit string
	lines      []asked
}

// series answers GET /api/series?of=workload|service|app|mesh|control&namespace=&name=&range=1h&end=.
func (s *site) series(rw http.ResponseWriter, r *http.Request) {
	ranger, ok := s.Metrics.(Ranger)
	if s.Metrics == nil || !ok {
		fail(rw, http.StatusNotImplemented, "%v", errNoMetrics)
		return
	}
	over, plots, err := s.plots(r.URL.Query())
	if err != nil {
		fail(rw, http.StatusBadRequest, "%v", err)
		return
	}
	out := struct {
		Start  time.Time `json:"start"`
		Step   float64   `json:"step"` // seconds
		Charts []chart   `json:"charts"`
	}{over.Start.UTC(), over.Step.Seconds(), make([]chart, len(plots))}
	ctx, cancel := context.WithTimeout(r.Context(), answerTime)
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for i, p := range plots {
		group.Go(func() error {
			c, err := p.read(ctx, ranger, over)
			out.Charts[i] = c
			return err
		})
	}
	if err := group.Wait(); err != nil {
		fail(rw, http.StatusBadGateway, "ask the metrics for a chart: %v", err)
		return
	}
	answer(rw, http.StatusOK, out)
}

// plots reads the question.
func (s *site) plots(q url.Values) (promv1.Range, []plot, error) {
	length, end := time.Hour, s.Now()
	if text := q.Get("range"); text != "" {
		var err error
		if length, err = time.ParseDuration(text); err != nil || length < minRange || length > maxWindow {
			return promv1.Range{}, nil, fmt.Errorf("range=%q is not possible; use %s to %s, such as 1h", text, minRange, maxWindow)
		}
	}
	if text := q.Get("end"); text != "" {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return promv1.Range{}, nil, fmt.Errorf("end=%q is not a moment; write it in seconds since 1970", text)
		}
		end = time.Unix(n, 0)
	}
	step := max(minStep, (length / points).Truncate(time.Second))
	// The same steps at each reading, so that lines do not tremble.
	end = end.Truncate(step)
	over := promv1.Range{Start: end.Add(-length), End: end, Step: step}
	window := strconv.Itoa(int(max(30*time.Second, 2*step)/time.Second)) + "s"
	match, err := matcher(q.Get("of"), q.Get("namespace"), q.Get("name"))
	switch {
	case err != nil:
		return over, nil, err
	case q.Get("of") == "control":
		return over, controlPlots(window), nil
	}
	return over, trafficPlots(match, window), nil
}

// matcher are the labels of what is asked about, with a comma behind them.
func matcher(of, namespace, name string) (string, error) {
	if of != "mesh" && of != "control" && name == "" {
		return "", errors.New("name= is missing: say which " + of)
	}
	switch of {
	case "mesh", "control":
		return "", nil
	case "workload":
		return fmt.Sprintf("destination_workload=%q,destination_workload_namespace=%q,", name, namespace), nil
	case "app":
		return fmt.Sprintf("destination_canonical_service=%q,destination_workload_namespace=%q,", name, namespace), nil
	case "service":
		return fmt.Sprintf("destination_service_name=%q,destination_service_namespace=%q,", name, namespace), nil
	}
	return "", fmt.Errorf("of=%q is not known; use workload, service, app, mesh or control", of)
}

// trafficPlots are the golden signals of what is asked of somebody. Its own proxy tells of what arrived, and clients' proxies of what never did.
func trafficPlots(match, window string) []plot {
	rate := func(metric, reporter string) string {
		return "rate(" + metric + "{" + match + reporter + "}[" + window + "])"
	}
	// requests are those with some labels, none for all.
	requests := func(by, with string) string {
		return "sum by (" + by + ") (" + rate("istio_requests_total", `reporter="destination"`+with) + " or " + rate("istio_requests_total", `reporter="source",destination_workload="unknown"`+with) + ")"
	}
	share := func(with string) string {
		return "(sum(" + requests("response_code", with) + ") or vector(0)) / sum(" + requests("response_code", "") + ")"
	}
	quantile := func(q float64) string {
		return fmt.Sprintf("histogram_quantile(%g, sum by (le) (%s))", q, rate("istio_request_duration_milliseconds_bucket", `reporter="destination"`))
	}
	one := func(name, expression string) asked { return asked{name: name, expression: expression} }
	return []plot{
		{"Requests", "requests/s", []asked{{by: "response_code", expression: requests("response_code", "")}}},
		{"Errors", "share", []asked{
			one("5xx or none", share(`,response_code=~"5..|0"`)), one("4xx", share(`,response_code=~"4.."`)),
		}},
		{"Time", "milliseconds", []asked{one("median", quantile(.5)), one("95 %", quantile(.95)), one("99 %", quantile(.99))}},
		{"Throughput", "bytes/s", []asked{
			one("requests", "sum("+rate("istio_request_bytes_sum", `reporter="destination"`)+")"), one("responses", "sum("+rate("istio_response_bytes_sum", `reporter="destination"`)+")"),
			one("TCP received", "sum("+rate("istio_tcp_received_bytes_total", `reporter="destination"`)+")"), one("TCP sent", "sum("+rate("istio_tcp_sent_bytes_total", `reporter="destination"`)+")"),
		}},
	}
}

// controlPlots are those of heddled.
func controlPlots(window string) []plot {
	rate := func(metric string) string { return "rate(" + metric + `{job=~"istiod|heddled"}[` + window + "])" }
	gauge := func(metric string) string { return "sum(" + metric + `{job=~"istiod|heddled"})` }
	one := func(name, expression string) asked { return asked{name: name, expression: expression} }
	return []plot{
		{"Pushes", "responses/s", []asked{{by: "type", expression: "sum by (type) (" + rate("pilot_xds_pushes") + ")"}}},
		{"Refused by proxies", "responses/s", []asked{{by: "type", expression: "sum by (type) (" + rate("pilot_total_xds_rejects") + ")"}}},
		{"Change until acknowledged", "seconds", []asked{
			one("median", "histogram_quantile(0.5, sum by (le) ("+rate("heddle_change_seconds_bucket")+"))"), one("99 %", "histogram_quantile(0.99, sum by (le) ("+rate("heddle_change_seconds_bucket")+"))")}},
		{"Proxies", "count", []asked{one("connected", gauge("pilot_xds"))}},
		{"Memory", "bytes", []asked{one("resident", gauge("process_resident_memory_bytes")), one("heap", gauge("go_memstats_heap_inuse_bytes"))}},
		{"CPU", "cores", []asked{one("used", "sum("+rate("process_cpu_seconds_total")+")")}},
		{"Goroutines", "count", []asked{one("running", gauge("go_goroutines"))}},
	}
}

func (p plot) read(ctx context.Context, from Ranger, over promv1.Range) (chart, error) {
	c := chart{Name: p.name, Unit: p.unit, Lines: []line{}, Query: p.lines[0].expression}
	n := int(over.End.Sub(over.Start)/over.Step) + 1
	for _, a := range p.lines {
		v, _, _, err := from.QueryRange(ctx, a.expression, over)
		if err != nil {
			return c, err
		}
		matrix, ok := v.(model.Matrix)
		if !ok {
			return c, fmt.Errorf("the answer is a %s, not a matrix", v.Type())
		}
		for _, s := range matrix {
			l := line{Name: a.name, Values: make([]*float64, n)}
			if a.by != "" {
				l.Name = string(s.Metric[model.LabelName(a.by)])
			}
			some := false
			for _, x := range s.Values {
				if i := int(x.Timestamp.Time().Sub(over.Start) / over.Step); i >= 0 && i < n && !math.IsNaN(float64(x.Value)) && !math.IsInf(float64(x.Value), 0) {
					value := float64(x.Value)
					l.Values[i], some = &value, some || value != 0
				}
			}
			if some || a.by == "" {
				c.Lines = append(c.Lines, l)
			}
		}
	}
	if p.lines[0].by != "" {
		slices.SortFunc(c.Lines, func(a, b line) int { return strings.Compare(a.Name, b.Name) })
	}
	return c, nil
}
