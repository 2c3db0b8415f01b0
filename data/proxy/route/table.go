// Package route chooses the route of a request.
//
// In: a RouteTable, prepared once when configuration is built, and a Request. Out: the virtual host and the route, by Envoy's rules. A Table is
// immutable and safe for concurrent use; choosing allocates nothing (regular expressions aside).
package route

import (
	"bytes"
	"sort"
	"strings"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/http1"
)

// Request is what routes look at.
type Request struct {
	Method, Scheme []byte
	Host           []byte // lower case, with the port if there was one
	Path           []byte // normalised, with query
	Fields         []http1.Field
	Random         uint64 // for shares
}

// Table is a RouteTable that is ready to be searched.
type Table struct {
	Config   *config.RouteTable
	exact    map[string]*config.VirtualHost
	suffixes []wildcard // "*.example.com", longest first
	prefixes []wildcard // "example.*", longest first
	any      *config.VirtualHost
}

type wildcard struct {
	text string
	host *config.VirtualHost
}

// New prepares a table. When two hosts claim a domain the first keeps it; the control plane does not send such tables.
func New(c *config.RouteTable) *Table {
	t := &Table{Config: c, exact: map[string]*config.VirtualHost{}}
	for _, h := range c.Hosts {
		for _, d := range h.Domains {
			switch {
			case d == "*":
				if t.any == nil {
					t.any = h
				}
			case strings.HasPrefix(d, "*"):
				t.suffixes = append(t.suffixes, wildcard{d[1:], h})
			case strings.HasSuffix(d, "*"):
				t.prefixes = append(t.prefixes, wildcard{d[:len(d)-1], h})
			default:
				if t.exact[d] == nil {
					t.exact[d] = h
				}
			}
		}
	}
	longest := func(w []wildcard) {
		sort.SliceStable(w, func(i, j int) bool { return len(w[i].text) > len(w[j].text) })
	}
	longest(t.suffixes)
	longest(t.prefixes)
	return t
}

// Host finds the virtual host of a (lower-case) host: exact, longest suffix, longest prefix, "*" (RouteConfiguration's rule).
func (t *Table) Host(host []byte) *config.VirtualHost {
	if t.Config.IgnorePort {
		host = withoutPort(host)
	}
	if h := t.exact[string(host)]; h != nil {
		return h
	}
	for _, w := range t.suffixes {
		if len(host) > len(w.text) && string(host[len(host)-len(w.text):]) == w.text {
			return w.host
		}
	}
	for _, w := range t.prefixes {
		if len(host) > len(w.text) && string(host[:len(w.text)]) == w.text {
			return w.host
		}
	}
	return t.any
}

func withoutPort(host []byte) []byte {
	if i := bytes.LastIndexByte(host, ':'); i >= 0 && bytes.IndexByte(host[i:], ']') < 0 && (host[0] == '[' || bytes.Count(host, colon) == 1) {
		return host[:i]
	}
	return host
}

var colon = []byte{':'}

// Route finds the first route that matches; either result may be nil.
func (t *Table) Route(r *Request) (*config.VirtualHost, *config.Route) {
	h := t.Host(r.Host)
	if h == nil {
		return nil, nil
	}
	for _, c := range h.Routes {
		if Matches(&c.Match, r) {
			return h, c
		}
	}
	return h, nil
}
