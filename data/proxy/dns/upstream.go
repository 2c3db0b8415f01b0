package dns

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// Dial opens a connection to the outside: network is udp or tcp.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// Upstream asks the host's name servers for what is not in the mesh.
type Upstream struct {
	Servers []string // HOST:PORT, in order of preference
	Dial    Dial
	TCPOnly bool          // the dialer can only carry streams
	Timeout time.Duration // of one try; two rounds are made
}

// ParseResolvConf reads the name servers and search suffixes of a resolv.conf.
func ParseResolvConf(path string) (servers, search []string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("read name servers: %w", err)
	}
	defer f.Close()
	for s := bufio.NewScanner(io.LimitReader(f, 64<<10)); s.Scan(); {
		words := strings.Fields(s.Text())
		switch {
		case len(words) < 2 || words[0][0] == '#' || words[0][0] == ';':
		case words[0] == "nameserver":
			if a, err := netip.ParseAddr(words[1]); err == nil {
				servers = append(servers, netip.AddrPortFrom(a, 53).String())
			}
		case words[0] == "search" || words[0] == "domain":
			search = words[1:]
		}
	}
	return servers, search, nil
}

// Exchange forwards a raw query and gives the raw answer with the client's ID.
func (u *Upstream) Exchange(ctx context.Context, network string, raw []byte, q dnsmessage.Question) ([]byte, error) {
	if len(u.Servers) == 0 {
		return nil, fmt.Errorf("resolve %s: no name server is known outside the mesh", q.Name)
	}
	if u.TCPOnly {
		network = "tcp"
	}
	var last error
	for range 2 {
		for _, server := range u.Servers {
			answer, err := u.try(ctx, network, server, raw, q)
			if err == nil {
				return answer, nil
			}
			if last = err; ctx.Err() != nil {
				return nil, last
			}
		}
	}
	return nil, last
}

func (u *Upstream) try(ctx context.Context, network, server string, raw []byte, q dnsmessage.Question) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, u.Timeout)
	defer cancel()
	conn, err := u.Dial(ctx, network, server)
	if err != nil {
		return nil, fmt.Errorf("resolve %s at %s: %w", q.Name, server, err)
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	conn.SetDeadline(deadline)
	// A fresh ID and a fresh port per question, so that an answer cannot be guessed (RFC 5452 section 4).
	own := append([]byte(nil), raw...)
	rand.Read(own[:2])
	write, read := writeDatagram, readDatagram
	if network == "tcp" {
		write, read = writeStream, readStream
	}
	if err := write(conn, own); err != nil {
		return nil, fmt.Errorf("resolve %s at %s: %w", q.Name, server, err)
	}
	buf := make([]byte, 64<<10)
	for {
		answer, err := read(conn, buf)
		if err != nil {
			return nil, fmt.Errorf("resolve %s at %s: %w", q.Name, server, err)
		}
		if matches(answer, own[:2], q) {
			copy(answer, raw[:2])
			return answer, nil
		}
	}
}

// matches says whether an answer belongs to the question.
func matches(answer, id []byte, q dnsmessage.Question) bool {
	var p dnsmessage.Parser
	h, err := p.Start(answer)
	if err != nil || !h.Response || h.ID != binary.BigEndian.Uint16(id) {
		return false
	}
	got, err := p.Question()
	if errors.Is(err, dnsmessage.ErrSectionDone) {
		return h.RCode != dnsmessage.RCodeSuccess
	}
	return err == nil && got.Type == q.Type && got.Class == q.Class && strings.EqualFold(got.Name.String(), q.Name.String())
}

func writeDatagram(c net.Conn, b []byte) error { _, err := c.Write(b); return err }

func readDatagram(c net.Conn, buf []byte) ([]byte, error) {
	n, err := c.Read(buf)
	return buf[:n], err
}

// writeStream puts the two-byte length in front (RFC 1035 section 4.2.2), in one write.
func writeStream(c net.Conn, b []byte) error {
	_, err := c.Write(append(binary.BigEndian.AppendUint16(make([]byte, 0, len(b)+2), uint16(len(b))), b...))
	return err
}

func readStream(c net.Conn, buf []byte) ([]byte, error) {
	if _, err := io.ReadFull(c, buf[:2]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint16(buf)
	if _, err := io.ReadFull(c, buf[:n]); err != nil {
		return nil, err
	}
	return buf[:n], nil
}
