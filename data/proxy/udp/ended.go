package udp

import (
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
)

// Ended is what a session tells when it is over.
type Ended struct {
	Duration         time.Duration
	Received, Sent   uint64         // bytes from and to the client
	Client, Local    netip.AddrPort // Local is where the client sent its datagrams to
	Source, Endpoint netip.AddrPort // of the datagrams to the endpoint
	Cluster          string
	Logs             []config.AccessLog
}

// log tells of the session, if somebody wants to know. The socket is still open.
func (s *session) log() {
	c := s.course
	if s.p.e.log == nil || len(c.config.AccessLogs) == 0 {
		return
	}
	e := Ended{
		Duration: s.p.e.w.Now().Sub(s.began), Received: s.received, Sent: s.sent, Client: s.from.from, Local: c.at, Endpoint: s.to.Address, Cluster: c.config.Cluster, Logs: c.config.AccessLogs,
	}
	if !e.Local.IsValid() {
		e.Local = own(s.p.socket.fd)
		if s.from.local.IsValid() {
			e.Local = netip.AddrPortFrom(s.from.local, e.Local.Port())
		}
	}
	e.Source = own(s.socket.fd)
	s.p.e.log(s.p.e.w.Index(), &e)
}

// own is the address of a socket; invalid when the kernel does not say.
func own(fd int) netip.AddrPort {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return netip.AddrPort{}
	}
	return loop.FromSockaddr(sa).AddrPort
}
