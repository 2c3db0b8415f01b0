package session

import (
	"iter"
	"time"

	"github.com/heddle-mesh/heddle/xds"
)

// Mode is one of the two forms of the aggregated discovery protocol.
type Mode uint8

// The two forms.
const (
	Delta           Mode = iota // incremental: DeltaDiscoveryRequest
	StateOfTheWorld             // DiscoveryRequest: a request names all that is wanted, a response for listeners and clusters holds all there is
)

// Request is what a client said, in either form.
type Request struct {
	TypeURL string
	Nonce   string // of the response that it answers; "" for none

	Rejected bool   // error_detail is set: the response of that nonce is refused
	Error    string // its message

	Subscribe, Unsubscribe []string          // delta
	Initial                map[string]string // delta: name → version that the client holds from an earlier stream
	Names                  []string          // state of the world: all that is wanted
}

// Rejection is one resource that the client refused.
type Rejection struct {
	Resource *xds.Resource
	Error    string        // the client's words
	Good     *xds.Resource // what the client keeps instead; nil for nothing, and without a body where only its version is known
}

// Answer says what a request meant for the response that it names.
type Answer uint8

// The answers.
const (
	None    Answer = iota // it answers nothing
	Ack                   // it accepts
	Nack                  // it refuses
	Expired               // its nonce is not one of ours that is still open
)

// Outcome is what a request changed.
type Outcome struct {
	Answer   Answer
	SentAt   time.Time       // when the answered response was sent
	Accepted []*xds.Resource // resources that the client now holds for the first time in this version
	Rejected []Rejection     // culprits that were found; they are not sent again in this version
	// Unexplained is the error of a refusal whose culprit is not found yet; the parts are sent again one by one.
	Unexplained string

	Subscribed, Unsubscribed []string // explicit names, for an index of who must hear of a change
	Wildcard                 bool     // the client is now subscribed to the type's whole list
}

// Response is one message to send. Its resources are shared: nobody may change them.
type Response struct {
	Mode      Mode
	TypeURL   string
	Version   string // of the client's whole state of this type: a hash over names and versions
	Nonce     string
	Resources []*xds.Resource
	Removed   []string // delta only
	Size      int      // bytes of the resources
}

// Source answers what the client must hold now.
type Source interface {
	// Names lists what a wildcard subscriber of the type must hold.
	Names(typeURL string) iter.Seq[string]
	// Resource is the resource as this client must have it, or false when there is none.
	Resource(n xds.Name) (*xds.Resource, bool)
}

// Standing is what is known of a version from earlier streams and other clients of the same build.
type Standing uint8

// The standings.
const (
	Clear   Standing = iota
	Suspect          // another client of this build refused it: it travels alone
	Refused          // this client refused it: it is not sent
)

// Judge says what is known of a version; of one that this client refused on an earlier stream, also what it kept instead, if that is known.
type Judge func(*xds.Resource) (Standing, *xds.Resource)
