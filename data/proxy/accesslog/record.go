// Package accesslog writes one line per finished request or connection, in Envoy's formats.
//
// In: a format that is compiled when configuration is built, and a Record per exchange. Out: lines in a file, written by one goroutine per file. Log.Write never
// blocks and does not allocate: a line goes into the calling worker's own buffer, and one that finds no room is dropped and counted. All values are escaped, so
// that what a client sends cannot forge a line.
package accesslog

import (
	"net/netip"
	"time"
)

// Headers looks a header up by its lower-case name; the value dies with the call that it was given to. Pseudo-headers (":method", ":path", ":authority", ":scheme",
// ":status") count as headers.
type Headers interface {
	Get(name string) (value []byte, ok bool)
}

// Address is an IP and port, or the path of a unix socket.
type Address struct {
	netip.AddrPort
	Path string
}

// Record is what a finished exchange or connection tells. Empty strings and zero addresses are unknown. A Record may be used again after Write.
type Record struct {
	Raw bool // values are for a header field: without the escapes that keep a line in order

	Start    time.Time
	Inbound  bool   // of a listener for what comes to the workload
	Protocol string // HTTP/1.1; "" for TCP
	// Request and Response may be nil.
	Request, Response, Trailers Headers

	Code               int    // 0 for none
	Flags              string // Envoy's short names, comma separated; "" for none
	Details            string // response code details
	Termination        string // connection termination details
	UpstreamFailure    string // transport failure reason
	Received, Sent     uint64 // body bytes from and to the client
	ReceivedWire       uint64 // header and body bytes from the client
	SentWire           uint64
	Duration           time.Duration
	RequestDuration    time.Duration // until the request's last byte; below 0: unknown
	ResponseDuration   time.Duration // until the response's first byte; below 0: unknown
	Attempts           int
	UpstreamHost       Address // the chosen endpoint
	UpstreamRemote     Address // as far as there was a connection
	UpstreamLocal      Address
	Cluster            string
	Local              Address // downstream
	Remote             Address // downstream, as far as it is trusted
	DirectRemote       Address // downstream, the peer of the connection
	ServerName         string  // SNI
	RouteName          string
	PeerURI            string // downstream, first URI SAN
	LocalURI           string
	PeerSubject        string
	TLSVersion         string
	TLSCipher          string
	UpstreamPeerURI    string
	ConnectionID       uint64
	VirtualHost        string
	UpstreamTLSVersion string
	GRPC               int    // status plus one; 0: none
	TraceHigh          uint64 // with TraceLow the trace's id; both 0: none
	TraceLow           uint64
}

// String is IP:port or the path, "" for none.
func (a Address) String() string {
	if a.Path != "" {
		return a.Path
	}
	if !a.IsValid() {
		return ""
	}
	return a.AddrPort.String()
}

func (a Address) append(b []byte) ([]byte, bool) {
	switch {
	case a.Path != "":
		return appendText(b, a.Path), true
	case a.IsValid():
		return a.AddrPort.AppendTo(b), true
	}
	return b, false
}

func (a Address) appendIP(b []byte) ([]byte, bool) {
	switch {
	case a.Path != "":
		return appendText(b, a.Path), true
	case a.IsValid():
		return a.Addr().AppendTo(b), true
	}
	return b, false
}
