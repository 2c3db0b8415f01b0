package mesh

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/heddle-mesh/heddle/test/lab"
)

// Client makes requests as a workload does: through its proxy.
type Client struct {
	w    *Workload
	http *http.Client
}

// Response is an answer that was read to its end.
type Response struct {
	Status int
	Body   string
	Header http.Header
	client *Client
}

func (w *Workload) client() *Client {
	via := &url.URL{Scheme: "http", Host: fmt.Sprintf("%s:%d", w.IP, proxyPort)}
	t := &http.Transport{Proxy: http.ProxyURL(via), DisableCompression: true}
	w.m.t.Cleanup(t.CloseIdleConnections)
	return &Client{w: w, http: &http.Client{Transport: t, Timeout: patience, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// Get asks for a URL; headers are "name: value".
func (c *Client) Get(url string, headers ...string) *Response {
	c.w.m.t.Helper()
	r, err := c.Try(url, headers...)
	must(c.w.m.t, err)
	return r
}

// Try is Get for goroutines of a test and for what may fail.
func (c *Client) Try(url string, headers ...string) (*Response, error) {
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Add(name, value)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return &Response{Status: resp.StatusCode, Body: string(body), Header: resp.Header, client: c}, err
}

// Saw is what the service saw of the request, if it has no handler of its own.
func (r *Response) Saw() lab.Seen {
	r.client.w.m.t.Helper()
	var s lab.Seen
	if err := json.Unmarshal([]byte(r.Body), &s); err != nil {
		r.client.w.m.t.Fatalf("status %d, and no service saw the request: %q", r.Status, r.Body)
	}
	return s
}
