package client

import (
	"strings"

	"github.com/heddle-mesh/heddle/xds"
)

// Handler hears of resources. Calls come one at a time, from the goroutine that runs Client.Run; a handler may call Subscribe and Unsubscribe.
type Handler interface {
	// OnResponse takes what a response adds or changes and what it removes. The response is accepted when it returns nil. With a *Rejection the resources that
	// it names are refused and the others count as taken; with another error nothing of the response was taken. An empty response is told too: it is the server's word
	// that there is nothing more, which a listener may wait for.
	OnResponse(typeURL string, added []*xds.Resource, removed []string) error
	// OnStream says that a stream came up (err is nil), or ended and why.
	OnStream(up bool, err error)
}

// Rejection refuses some resources of a response by name.
type Rejection struct{ Resources []Refused }

// Refused is one resource and why it cannot be taken, with the path of the field.
type Refused struct{ Name, Reason string }

// Error names every refused resource, so that the server finds the culprits.
func (r *Rejection) Error() string {
	parts := make([]string, len(r.Resources))
	for i, f := range r.Resources {
		parts[i] = f.Name + ": " + f.Reason
	}
	return strings.Join(parts, "; ")
}
