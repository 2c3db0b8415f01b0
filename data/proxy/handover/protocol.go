// Package handover keeps the listening sockets of a proxy in another process, so that they outlive it: connections wait in them while a killed proxy is started again,
// and a newer proxy takes them over while the older one finishes what it has begun.
//
// In: sockets that proxies open, one message each over a unix socket. Out: the same sockets for the next proxy. A Keeper lives in the supervisor and has one Session
// per process; a Client is the proxy's side. The methods of all three may be called from any goroutine.
//
// A process asks for a socket (take), gives one that it had to open (keep), or lets go of one that its configuration does not want any more (release). Once it serves it
// says so (ready), and from then on the sockets are those that it wants; then its predecessor is told to retire.
package handover

// Verb is what a message asks for. Peers of other versions answer what they do not know with an error.
type verb string

const (
	take    verb = "take"    // → held and the socket, or not held
	keep    verb = "keep"    // with the socket
	release verb = "release" // →
	ready   verb = "ready"   // →
	retire  verb = "retire"  // from the keeper, without an answer
)

// message goes from the process to the keeper; retire the other way.
type message struct {
	Verb verb   `json:"verb"`
	Key  string `json:"key,omitempty"`
}

// reply answers a message. The first one comes without being asked for, and says which run of the program this is.
type reply struct {
	Error  string `json:"error,omitempty"`
	Held   bool   `json:"held,omitempty"`
	Epoch  int    `json:"epoch,omitempty"`
	Retire bool   `json:"retire,omitempty"` // not an answer
}

// Key names a socket by network ("tcp", "udp" or "unix") and address as the configuration has it; options are those that an open socket cannot change.
func Key(network, address string, options ...string) string {
	key := network + " " + address
	for _, o := range options {
		key += " " + o
	}
	return key
}
