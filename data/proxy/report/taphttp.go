package report

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/heddle-mesh/heddle/data/proxy/stream"
	"github.com/heddle-mesh/heddle/telemetry/tap"
)

// tapFilter is what one who listens has asked for.
type tapFilter struct {
	tap.Selector
	Share   float64 // of those that are chosen; 1 is all
	Limit   int     // 0: no end
	Secrets bool    // credentials are shown
}

// parseTap reads a filter. Secrets are only for a POST, which pages that others may look at do not pass on.
func parseTap(q url.Values, post bool) (f tapFilter, err error) {
	f.Share = 1
	conditions := url.Values{}
	for key, values := range q {
		v := q.Get(key)
		switch key {
		case "sample":
			if f.Share, err = strconv.ParseFloat(v, 64); err != nil || !(f.Share > 0 && f.Share <= 1) {
				return f, fmt.Errorf("sample: %q is not a share above 0 and up to 1", v)
			}
		case "limit":
			if f.Limit, err = strconv.Atoi(v); err != nil || f.Limit < 1 {
				return f, fmt.Errorf("limit: %q is not a number of 1 or more", v)
			}
		case "secrets":
			if f.Secrets = v == "show"; !f.Secrets || !post {
				return f, errors.New("secrets: want show, in a POST")
			}
		default:
			if !tap.IsKey(key) {
				return f, fmt.Errorf("%s: unknown; known are %s, each also as not.NAME, and sample, limit and secrets", key, strings.Join(tap.Keys(), ", "))
			}
			conditions[key] = values
		}
	}
	f.Selector, err = tap.Parse(conditions)
	return f, err
}

// quick leaves out, before an event is made, what cannot be chosen, and what is not of the sample.
func (f *tapFilter) quick(x *stream.Exchange) bool {
	h := &x.Request
	return (f.One("method") == "" || strings.EqualFold(string(h.Method()), f.One("method"))) && bytes.HasPrefix(h.Path(), []byte(f.One("path"))) &&
		(f.One("direction") == "" || direction(x.Manager().Direction) == f.One("direction")) &&
		(f.Share >= 1 || float64(x.Worker().Loop.Rand()>>11)/(1<<53) < f.Share) // not the exchange's own number, which chose its route
}

// ServeHTTP streams the exchanges that the query chooses, a line of JSON each, until the reader leaves or has as many as it asked for. What the reader is too slow for is
// counted in lines of their own.
func (t *Tap) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f, err := parseTap(r.URL.Query(), r.Method == http.MethodPost)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	l := t.listen(f)
	if l == nil {
		http.Error(w, fmt.Sprintf("%d listen already, which is as many as may", maxTaps), http.StatusTooManyRequests)
		return
	}
	defer t.leave(l)
	w.Header().Set("Content-Type", "application/x-ndjson")
	control := http.NewResponseController(w)
	if control.Flush() != nil {
		return
	}
	for n := 0; f.Limit == 0 || n < f.Limit; n++ {
		select {
		case <-r.Context().Done():
			return
		case line := <-l.lines:
			if d := l.dropped.Swap(0); d > 0 {
				line = append(line, fmt.Sprintf("{\"dropped\":%d}\n", d)...)
			}
			if _, err := w.Write(line); err != nil || control.Flush() != nil {
				return
			}
		}
	}
}
