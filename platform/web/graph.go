package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/heddle-mesh/heddle/platform/observe/graph"
)

// Bounds of what is asked.
const (
	usualWindow = time.Minute
	minWindow   = 5 * time.Second
	maxWindow   = 24 * time.Hour
	answerTime  = 30 * time.Second
)

// question reads ?type=workload&window=60s&time=RFC3339|SECONDS&namespaces=a,b.
func (s *site) question(q url.Values) (o graph.Options, err error) {
	if o.Type, err = graph.ParseType(q.Get("type")); err != nil {
		return o, err
	}
	o.Window, o.Time = usualWindow, s.Now()
	if w := q.Get("window"); w != "" {
		if o.Window, err = time.ParseDuration(w); err != nil || o.Window < minWindow || o.Window > maxWindow {
			return o, fmt.Errorf("window=%q is not possible; use %s to %s, such as 60s", w, minWindow, maxWindow)
		}
	}
	if at := q.Get("time"); at != "" {
		if n, e := strconv.ParseInt(at, 10, 64); e == nil {
			o.Time = time.Unix(n, 0)
		} else if o.Time, err = time.Parse(time.RFC3339, at); err != nil {
			return o, fmt.Errorf("time=%q is not a moment; write it as 2026-01-31T12:00:00Z, or as seconds since 1970", at)
		}
	}
	for n := range strings.SplitSeq(q.Get("namespaces"), ",") {
		if n = strings.TrimSpace(n); n != "" {
			o.Namespaces = append(o.Namespaces, n)
		}
	}
	if len(o.Namespaces) > 100 {
		return o, errors.New("more than 100 namespaces; leave namespaces out for all")
	}
	return o, nil
}

// errNoMetrics says why there is no graph.
var errNoMetrics = errors.New("heddled was told of no metrics; start it with --metrics-url URL of a Prometheus (heddle up does, unless --metrics=false)")

// read makes a graph, when it is its turn.
func (s *site) read(ctx context.Context, o graph.Options) (*graph.Graph, error) {
	if s.Metrics == nil {
		return nil, errNoMetrics
	}
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	select {
	case s.busy <- struct{}{}:
		defer func() { <-s.busy }()
	case <-ctx.Done():
		return nil, errors.New("the metrics are busy with other graphs; try again")
	}
	return graph.Read(ctx, s.Metrics, o)
}

func (s *site) graph(rw http.ResponseWriter, r *http.Request) {
	o, err := s.question(r.URL.Query())
	if err != nil {
		fail(rw, http.StatusBadRequest, "%v", err)
		return
	}
	g, err := s.read(r.Context(), o)
	switch {
	case errors.Is(err, errNoMetrics):
		fail(rw, http.StatusNotImplemented, "%v", err)
	case err != nil:
		s.Log.Warn("a graph could not be made", "error", err)
		fail(rw, http.StatusBadGateway, "%v", err)
	default:
		answer(rw, http.StatusOK, g)
	}
}
