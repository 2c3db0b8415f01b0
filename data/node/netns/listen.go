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
)

// Listening gives the addresses that some process listens on for a TCP port in the calling thread's namespace, ordered, each once. An unspecified IPv6 address may
// stand for IPv4 as well.
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
	slices.SortFunc(all, netip.Addr.Compare)
	return slices.Compact(all), nil
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
