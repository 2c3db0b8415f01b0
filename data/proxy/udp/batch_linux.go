package udp

import (
	"encoding/binary"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// batchSize is the number of datagrams that one system call takes or gives.
const batchSize = 32

// message is struct mmsghdr on machines of 64 bits.
type message struct {
	unix.Msghdr
	length uint32
	_      [4]byte
}

// peer is an address as the kernel writes it.
type peer struct {
	raw  unix.RawSockaddrInet6 // or RawSockaddrInet4 in its first bytes
	size uint32
}

// control is the room for one control message: where a datagram was going, or is to come from.
type control struct {
	b    [64]byte
	size int
}

// batch is room for datagrams on their way through one worker.
type batch struct {
	messages [batchSize]message
	vectors  [batchSize]unix.Iovec
	peers    [batchSize]peer
	controls [batchSize]control
	data     []byte
	each     int
}

// receive takes datagrams of at most each bytes from a socket, and says how many; what is longer is cut and marked.
func (b *batch) receive(fd, each int, named bool) (int, unix.Errno) {
	if len(b.data) < batchSize*each {
		b.data = make([]byte, batchSize*each)
	}
	b.each = each
	for i := range b.messages {
		m := &b.messages[i]
		*m = message{}
		b.vectors[i].Base = &b.data[i*each]
		b.vectors[i].SetLen(each)
		m.Iov = &b.vectors[i]
		m.SetIovlen(1)
		if named {
			m.Name, m.Namelen = (*byte)(unsafe.Pointer(&b.peers[i].raw)), uint32(unsafe.Sizeof(b.peers[i].raw))
			m.Control = &b.controls[i].b[0]
			m.SetControllen(len(b.controls[i].b))
		}
	}
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&b.messages)), batchSize, unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	for i := range int(n) {
		b.peers[i].size, b.controls[i].size = b.messages[i].Namelen, int(b.messages[i].Controllen)
	}
	return int(n), 0
}

// bytes is a datagram; cut says that it was longer than there is room for.
func (b *batch) bytes(i int) (p []byte, cut bool) {
	m := &b.messages[i]
	return b.data[i*b.each : i*b.each+int(m.length)], m.Flags&unix.MSG_TRUNC != 0
}

// send gives datagrams of another batch to a socket: to its peer, or to the one that is named, from where a control message says. It says how many the kernel took.
func (b *batch) send(fd int, from *batch, first, n int, to *peer, source *control) (int, unix.Errno) {
	for i := range n {
		m := &b.messages[i]
		*m = message{}
		p, _ := from.bytes(first + i)
		if len(p) > 0 {
			b.vectors[i].Base = &p[0]
		}
		b.vectors[i].SetLen(len(p))
		m.Iov = &b.vectors[i]
		m.SetIovlen(1)
		if to != nil {
			m.Name, m.Namelen = (*byte)(unsafe.Pointer(&to.raw)), to.size
		}
		if source != nil && source.size > 0 {
			m.Control = &source.b[0]
			m.SetControllen(source.size)
		}
	}
	sent, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&b.messages)), uintptr(n), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(sent), 0
}

// address reads a peer; an IPv4-mapped IPv6 address becomes IPv4.
func (p *peer) address() netip.AddrPort {
	port := binary.BigEndian.Uint16(unsafe.Slice((*byte)(unsafe.Pointer(&p.raw.Port)), 2)) // the same place in both families
	if p.raw.Family == unix.AF_INET {
		return netip.AddrPortFrom(netip.AddrFrom4((*unix.RawSockaddrInet4)(unsafe.Pointer(&p.raw)).Addr), port)
	}
	return netip.AddrPortFrom(netip.AddrFrom16(p.raw.Addr).Unmap(), port)
}

// local is where a datagram was going (IP_PKTINFO, IPV6_PKTINFO), invalid when the kernel did not say.
func (c *control) local() netip.Addr {
	if c.size < unix.CmsgLen(0) {
		return netip.Addr{}
	}
	h := (*unix.Cmsghdr)(unsafe.Pointer(&c.b))
	data := c.b[unix.CmsgLen(0):]
	switch {
	case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_PKTINFO:
		return netip.AddrFrom4((*unix.Inet4Pktinfo)(unsafe.Pointer(&data[0])).Addr)
	case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_PKTINFO:
		return netip.AddrFrom16((*unix.Inet6Pktinfo)(unsafe.Pointer(&data[0])).Addr)
	}
	return netip.Addr{}
}

// inside says whether a datagram came by the loopback interface, which has the same number everywhere: a program of this machine sent it.
func (c *control) inside() bool {
	if c.size < unix.CmsgLen(0) {
		return false
	}
	h := (*unix.Cmsghdr)(unsafe.Pointer(&c.b))
	data := c.b[unix.CmsgLen(0):]
	switch {
	case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_PKTINFO:
		return (*unix.Inet4Pktinfo)(unsafe.Pointer(&data[0])).Ifindex == loopback
	case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_PKTINFO:
		return (*unix.Inet6Pktinfo)(unsafe.Pointer(&data[0])).Ifindex == loopback
	}
	return false
}

// loopback is the number of the loopback interface in every network namespace.
const loopback = 1

// answering is the control message by which an answer comes from where its question was going.
func (c *control) answering() (out control) {
	at := c.local()
	if !at.IsValid() {
		return out
	}
	h := (*unix.Cmsghdr)(unsafe.Pointer(&out.b))
	data := out.b[unix.CmsgLen(0):]
	if at.Is4() {
		h.Level, h.Type, out.size = unix.IPPROTO_IP, unix.IP_PKTINFO, unix.CmsgSpace(unix.SizeofInet4Pktinfo)
		h.SetLen(unix.CmsgLen(unix.SizeofInet4Pktinfo))
		(*unix.Inet4Pktinfo)(unsafe.Pointer(&data[0])).Spec_dst = at.As4()
		return out
	}
	h.Level, h.Type, out.size = unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, unix.CmsgSpace(unix.SizeofInet6Pktinfo)
	h.SetLen(unix.CmsgLen(unix.SizeofInet6Pktinfo))
	(*unix.Inet6Pktinfo)(unsafe.Pointer(&data[0])).Addr = at.As16()
	return out
}
