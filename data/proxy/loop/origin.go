package loop

import (
	"crypto/tls"
	"net/netip"
)

// Address is where a stream begins or ends: an IP address and port, or the path of a unix socket ("@" in front: abstract). Comparable.
type Address struct {
	netip.AddrPort
	Path string
}

// TCP is the address of an IP and port; an IPv4-mapped IPv6 address becomes IPv4.
func TCP(ap netip.AddrPort) Address {
	return Address{AddrPort: netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())}
}

// Unix is the address of a unix socket.
func Unix(path string) Address { return Address{Path: path} }

// WithPort is the address with another port; 0 leaves its own.
func (a Address) WithPort(port uint16) Address {
	if port != 0 && a.AddrPort.IsValid() {
		a.AddrPort = netip.AddrPortFrom(a.Addr(), port)
	}
	return a
}

// IsUnix says whether the address is a unix socket's.
func (a Address) IsUnix() bool { return a.Path != "" }

// IsZero says whether there is no address.
func (a Address) IsZero() bool { return a.Path == "" && !a.AddrPort.IsValid() }

// String is IP:port, [IPv6]:port or the path.
func (a Address) String() string {
	switch {
	case a.Path != "":
		return a.Path
	case a.AddrPort.IsValid():
		return a.AddrPort.String()
	}
	return ""
}

// Transport protocols that the TLS inspector tells apart (Envoy's names, used by filter chain matches).
const (
	RawBuffer = "raw_buffer"
	TLSBytes  = "tls"
)

// Origin is what accept (or dial) learnt of a stream. Listener filters and the TLS handshake complete it before the network filters see the stream.
type Origin struct {
	Local, Remote Address
	// Direct is who is really at the other end where a PROXY header put another address into Remote, else zero. See DirectRemote.
	Direct Address
	// Extensions are those of a PROXY header that may be passed on, nil for none.
	Extensions []byte
	// Original is the destination that the client meant (SO_ORIGINAL_DST or TPROXY); Local where nothing was redirected.
	Original Address
	// KeepSource says that hosts are called from Remote on behalf of the stream, with SourceMark as SO_MARK (Envoy's original_src filter).
	KeepSource bool
	SourceMark uint32
	// Restored says that Original differs from Local by redirection.
	Restored bool
	// Accepted is true for a stream that a listener accepted, false for a dialled one.
	Accepted bool
	// At is when the stream was accepted or began to be dialled.
	At Time
	// Connected is when a dialled stream was there, and Secured when its TLS handshake had ended; zero for what did not happen.
	Connected, Secured Time
	// Transport is RawBuffer or TLSBytes once a TLS inspector looked, else "".
	Transport string
	// ServerName is the SNI of the ClientHello, lower case, "" if none.
	ServerName string
	// Protocols are the application protocols: the ALPN list of the ClientHello, or what the HTTP inspector found.
	Protocols []string
	// TLS is set after a handshake.
	TLS *TLSState
	// BufferLimit is how many bytes the queue should hold at most, and a read bring; 0 is the default. See High (Envoy: per_connection_buffer_limit_bytes).
	BufferLimit int
	// Released, if set, is called once when the socket is closed.
	Released func()
	// Failure is Envoy's text of why the transport failed, "" if it did not.
	Failure string
}

// TLSState is what a finished handshake proved. It does not change.
type TLSState struct {
	State tls.ConnectionState
	// Peer is nil when the peer showed no certificate.
	Peer *Peer
	// LocalURIs are the URI SANs of our own certificate (the "By" of x-forwarded-client-cert).
	LocalURIs []string
}

// Peer holds the facts of the peer's leaf certificate that policy, x-forwarded-client-cert and telemetry need.
type Peer struct {
	// Hash is the lower-case hex SHA-256 of the DER certificate.
	Hash string
	// Subject is the RFC 2253 string of the subject.
	Subject string
	// Serial is the lower-case hex serial number.
	Serial string
	// URIs and DNS are the subject alternative names.
	URIs, DNS []string
}

// Application is the protocol inside the transport as far as it is known: what ALPN agreed on, else what the HTTP inspector found ("h2c" for HTTP/2 in clear), else "".
func (o *Origin) Application() string {
	switch {
	case o.TLS != nil:
		return o.TLS.State.NegotiatedProtocol
	case len(o.Protocols) == 1:
		return o.Protocols[0]
	}
	return ""
}

// High is the number of bytes in a connection's queue at which its sources should stop.
func (o *Origin) High() int {
	if o.BufferLimit > 0 {
		return o.BufferLimit
	}
	return HighWatermark
}

// Low is the number at which they should go on.
func (o *Origin) Low() int {
	if o.BufferLimit > 0 {
		return o.BufferLimit / 2
	}
	return LowWatermark
}

// DirectRemote is the address at the other end of the connection itself.
func (o *Origin) DirectRemote() Address {
	if o.Direct.IsZero() {
		return o.Remote
	}
	return o.Direct
}

// Identity is the peer's first URI SAN (its SPIFFE ID), or "".
func (o *Origin) Identity() string {
	if o.TLS == nil || o.TLS.Peer == nil || len(o.TLS.Peer.URIs) == 0 {
		return ""
	}
	return o.TLS.Peer.URIs[0]
}
