package accept

import (
	"encoding/binary"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/heddle-mesh/heddle/data/proxy/loop"
)

// soOriginalDst is the option of both netfilter families (linux/netfilter_ipv4.h, linux/netfilter_ipv6/ip6_tables.h).
const soOriginalDst = 80

// originalDestination asks netfilter where a redirected connection was going; ok is false when it was not redirected.
func originalDestination(fd int, v6 bool) (loop.Address, bool) {
	if v6 {
		var sa unix.RawSockaddrInet6
		if getsockopt(fd, unix.SOL_IPV6, unsafe.Pointer(&sa), unsafe.Sizeof(sa)) {
			return loop.TCP(netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), swap(sa.Port))), true
		}
	}
	var sa unix.RawSockaddrInet4
	if getsockopt(fd, unix.SOL_IP, unsafe.Pointer(&sa), unsafe.Sizeof(sa)) && sa.Family == unix.AF_INET {
		return loop.TCP(netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), swap(sa.Port))), true
	}
	return loop.Address{}, false
}

func getsockopt(fd, level int, value unsafe.Pointer, size uintptr) bool {
	length := uint32(size)
	_, _, errno := unix.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(fd), uintptr(level), soOriginalDst, uintptr(value), uintptr(unsafe.Pointer(&length)), 0)
	return errno == 0
}

// swap turns a port in network byte order into a number.
func swap(p uint16) uint16 {
	var b [2]byte
	binary.NativeEndian.PutUint16(b[:], p)
	return binary.BigEndian.Uint16(b[:])
}
