package netns

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Listening gives the addresses that some process listens on for a TCP port in the calling thread's namespace, ordered, each once. A socket for all IPv6 addresses that
// takes IPv4 as well is given as both.
func Listening(port uint16) ([]netip.Addr, error) {
	var all []netip.Addr
	for _, table := range []string{"tcp", "tcp6"} {
		b, err := os.ReadFile("/proc/thread-self/net/" + table)
		if errors.Is(err, os.ErrNotExist) { // a kernel without IPv6
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read the sockets of the network namespace: %w", err)
		}
		found, err := listening(b, port)
		if err != nil {
			return nil, fmt.Errorf("read the sockets of the network namespace (%s): %w", table, err)
		}
		all = append(all, found...)
	}
	if slices.Contains(all, netip.IPv6Unspecified()) && takesIPv4(port) {
		all = append(all, netip.IPv4Unspecified())
	}
	slices.SortFunc(all, netip.Addr.Compare)
	return slices.Compact(all), nil
}

// Of linux/inet_diag.h: a request is 8 bytes before the socket's identity of 48, an answer 4 before and 20 behind it, then attributes.
const (
	diagRequest, diagAnswer = 8 + 48, 4 + 48 + 20
	diagV6Only              = 11      // INET_DIAG_SKV6ONLY
	diagListen              = 1 << 10 // TCP_LISTEN
)

// takesIPv4 says whether a listening IPv6 socket of a port takes IPv4 as well, which /proc does not tell. Where the kernel cannot be asked it is taken for so: that is
// the usual case.
func takesIPv4(port uint16) bool {
	b := make([]byte, diagRequest)
	b[0], b[1] = unix.AF_INET6, unix.IPPROTO_TCP
	binary.NativeEndian.PutUint32(b[4:], diagListen)
	binary.BigEndian.PutUint16(b[8:], port)
	req := nl.NewNetlinkRequest(nl.SOCK_DIAG_BY_FAMILY, unix.NLM_F_DUMP)
	req.AddRawData(b)
	answers, err := req.Execute(unix.NETLINK_INET_DIAG, 0)
	if err != nil {
		return true
	}
	for _, m := range answers {
		if len(m) < diagAnswer || binary.BigEndian.Uint16(m[4:]) != port {
			continue
		}
		attributes, err := nl.ParseRouteAttr(m[diagAnswer:])
		if err != nil {
			return true
		}
		only := slices.ContainsFunc(attributes, func(a syscall.NetlinkRouteAttr) bool {
			return a.Attr.Type == diagV6Only && len(a.Value) == 1 && a.Value[0] == 1
		})
		if !only {
			return true
		}
	}
	return false
}

// listenState is TCP_LISTEN in /proc/net/tcp.
const listenState = "0A"

// listening reads a table of the kernel: a head, then a line for each socket with number, local address, remote address and state first.
func listening(table []byte, port uint16) (found []netip.Addr, err error) {
	lines := bufio.NewScanner(bytes.NewReader(table))
	lines.Scan() // the head
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) < 4 || f[3] != listenState {
			continue
		}
		address, number, _ := strings.Cut(f[1], ":")
		n, err := strconv.ParseUint(number, 16, 16)
		if err != nil {
			return nil, fmt.Errorf("local address %q: %w", f[1], err)
		}
		if uint16(n) != port {
			continue
		}
		ip, err := kernelAddress(address)
		if err != nil {
			return nil, fmt.Errorf("local address %q: %w", f[1], err)
		}
		found = append(found, ip)
	}
	return found, lines.Err()
}

// kernelAddress reads an address as the kernel prints it: words of 32 bits, each a number in the byte order of the machine.
func kernelAddress(text string) (netip.Addr, error) {
	var b []byte
	for ; len(text) >= 8; text = text[8:] {
		word, err := strconv.ParseUint(text[:8], 16, 32)
		if err != nil {
			return netip.Addr{}, err
		}
		b = binary.NativeEndian.AppendUint32(b, uint32(word))
	}
	ip, ok := netip.AddrFromSlice(b)
	if !ok || text != "" {
		return ip, errors.New("it is of no known length")
	}
	return ip.Unmap(), nil
}
