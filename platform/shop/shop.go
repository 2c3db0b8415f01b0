// Package shop is a sample application of small services that call each other, and a visitor that makes traffic.
//
// In: the name of a service and where it listens. Out: a running server that knows nothing of any mesh: it calls the others by their
// names, like the programs of users do. Everything here is plain net/http and net; a Part is a value.
package shop

import "time"

// Namespace holds the shop's services.
const Namespace = "shop"

// Part is one version of one service.
type Part struct {
	Name, Version string
	Port          uint16
	TCP           bool     // a line protocol instead of HTTP
	Calls         []string // HTTP services that each request calls, in order
	Appends       string   // TCP service that each request writes a line to
	Delay         time.Duration
	FailEvery     int // every Nth request on average is answered with 503
	About         string
}

// Parts are all services, in an order in which callers come after what they call.
func Parts() []Part {
	return []Part{
		{Name: "ledger", Version: "v1", Port: 7000, TCP: true, About: "keeps the books, by plain TCP"},
		{Name: "payment", Version: "v1", Port: 8080, Appends: "ledger", FailEvery: 20, About: "fails a little, on purpose"},
		{Name: "checkout", Version: "v1", Port: 8080, Calls: []string{"payment"}, About: "the way web → checkout → payment → ledger is three hops deep"},
		{Name: "pricing", Version: "v1", Port: 8080, Delay: 120 * time.Millisecond, About: "slow, on purpose"},
		{Name: "catalog", Version: "v1", Port: 8080, Calls: []string{"pricing"}, About: "version 1 asks for prices"},
		{Name: "catalog", Version: "v2", Port: 8080, About: "version 2 knows the prices itself"},
		{Name: "cart", Version: "v1", Port: 8080, About: "what the visitor wants to buy"},
		{Name: "web", Version: "v1", Port: 8080, About: "the page behind the ingress"},
	}
}

// Find gives one part.
func Find(name, version string) (Part, bool) {
	for _, p := range Parts() {
		if p.Name == name && p.Version == version {
			return p, true
		}
	}
	return Part{}, false
}

// routes are the services that the front page calls for each path.
var routes = map[string][]string{
	"/":         {"catalog", "cart"},
	"/catalog":  {"catalog"},
	"/cart":     {"cart"},
	"/checkout": {"cart", "checkout"},
}
