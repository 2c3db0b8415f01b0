package report

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/stream"
)

// TapFilter chooses exchanges; empty fields choose all.
type TapFilter struct {
	Method, Path, Authority, Route, Cluster, Direction string // Path is a prefix
	HeaderName, HeaderValue                            string // a request header; without a value its presence
	Status                                             string // 404, or 5xx
	Slower                                             time.Duration
	Share                                              float64 // of those that are chosen; 1 is all
	Limit                                              int     // 0: no end
	Secrets                                            bool    // credentials are shown
}

// tapKeys are the queries that a filter is read from.
const tapKeys = "method, path, authority, route, cluster, direction, header, status, slower, sample, limit and secrets"

// parseTap reads a filter. Secrets are only for a POST, which pages that others may look at do not pass on.
func parseTap(q url.Values, post bool) (f TapFilter, err error) {
	f.Share = 1
	for key := range q {
		v := q.Get(key)
		switch key {
		case "method":
			f.Method = v
		case "path":
			f.Path = v
		case "authority":
			f.Authority = v
		case "route":
			f.Route = v
		case "cluster":
			f.Cluster = v
		case "direction":
			f.Direction = v
			if v != "inbound" && v != "outbound" && v != "unspecified" {
				return f, fmt.Errorf("direction: %q is not one of inbound, outbound and unspecified", v)
			}
		case "header":
			f.HeaderName, f.HeaderValue, _ = strings.Cut(v, ":")
			f.HeaderName, f.HeaderValue = strings.ToLower(strings.TrimSpace(f.HeaderName)), strings.TrimSpace(f.HeaderValue)
		case "status":
			f.Status = strings.ToLower(v)
			if len(v) != 3 || strings.Trim(f.Status, "0123456789x") != "" {
				return f, fmt.Errorf("status: %q is not a code such as 404, or a class such as 5xx", v)
			}
		case "slower":
			if f.Slower, err = time.ParseDuration(v); err != nil {
				return f, fmt.Errorf("slower: %q is not a duration such as 200ms", v)
			}
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
				return f, fmt.Errorf("secrets: want show, in a POST")
			}
		default:
			return f, fmt.Errorf("%s: unknown; known are %s", key, tapKeys)
		}
	}
	return f, nil
}

func (f *TapFilter) matches(x *stream.Exchange) bool {
	h := &x.Request
	return (f.Method == "" || string(h.Method()) == f.Method) && (f.Path == "" || bytes.HasPrefix(h.Path(), []byte(f.Path))) && (f.Authority == "" || string(h.Authority()) == f.Authority) &&
		(f.Direction == "" || direction(x.Manager().Direction) == f.Direction) && f.header(h) && f.status(x.Response.Status) && x.Duration() >= f.Slower && f.place(x) &&
		(f.Share >= 1 || float64(x.Worker().Loop.Rand()>>11)/(1<<53) < f.Share) // not the exchange's own number, which chose its route
}

func (f *TapFilter) header(h *codec.Head) bool {
	if f.HeaderName == "" {
		return true
	}
	v, ok := h.Get(f.HeaderName)
	return ok && (f.HeaderValue == "" || string(v) == f.HeaderValue)
}

func (f *TapFilter) status(code int) bool {
	if f.Status == "" {
		return true
	}
	text := fmt.Sprintf("%03d", code)
	for i := range text {
		if f.Status[i] != 'x' && f.Status[i] != text[i] {
			return false
		}
	}
	return true
}

func (f *TapFilter) place(x *stream.Exchange) bool {
	if f.Route != "" {
		if _, r := x.Route(); r == nil || r.Name != f.Route {
			return false
		}
	}
	name, _ := x.Cluster()
	return f.Cluster == "" || name == f.Cluster
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
