package server

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/heddle-mesh/heddle/data/proxy/config/live"
	"github.com/heddle-mesh/heddle/data/proxy/dns"
)

const dialTimeout = 5 * time.Second

// dialOut opens a connection of the proxy's own goroutines to the outside: marked, so that capture leaves it alone, or through the relay.
func (s *Server) dialOut(ctx context.Context, network, address string) (net.Conn, error) {
	if s.opts.Outside == "" {
		return s.dialMarked(ctx, network, address)
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", absolute(s.opts.Outside))
	if err != nil {
		return nil, fmt.Errorf("dial the relay: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Now()) })
	defer stop()
	if _, err := fmt.Fprintf(c, "CONNECT %s\n", address); err != nil {
		c.Close()
		return nil, fmt.Errorf("ask the relay for %s: %w", address, err)
	}
	// The answer is one short line; nothing but the stream follows it, so it is read byte by byte.
	line, err := bufio.NewReaderSize(oneByte{c}, 512).ReadString('\n')
	if err == nil && strings.TrimSpace(line) != "OK" {
		err = fmt.Errorf("%s", strings.TrimPrefix(strings.TrimSpace(line), "ERR "))
	}
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("the relay to %s: %w", address, err)
	}
	return c, nil
}

func (s *Server) dialMarked(ctx context.Context, network, address string) (net.Conn, error) {
	return s.netDialer(dialTimeout).DialContext(ctx, network, address)
}

// netDialer dials for the proxy's own goroutines, marked.
func (s *Server) netDialer(timeout time.Duration) *net.Dialer {
	d := &net.Dialer{Timeout: timeout, Control: s.mark}
	d.SetMultipathTCP(false)
	return d
}

// oneByte keeps a buffered reader from taking more than the line.
type oneByte struct{ net.Conn }

func (o oneByte) Read(p []byte) (int, error) { return o.Conn.Read(p[:1]) }

// mark sets SO_MARK on the proxy's own sockets.
func (s *Server) mark(_, _ string, c syscall.RawConn) error {
	if s.opts.Mark == 0 {
		return nil
	}
	var failed error
	if err := c.Control(func(fd uintptr) { failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, s.opts.Mark) }); err != nil {
		return err
	}
	if failed != nil {
		return fmt.Errorf("mark the connection with %d: %w", s.opts.Mark, failed)
	}
	return nil
}

// relayResolver is the name that the relay gives to the host's name server.
const relayResolver = "resolver:53"

// resolver looks up the names in clusters as the workload would: names of the mesh first, then as the host does.
type resolver struct {
	s    *Server
	dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Lookup implements live.Resolver. Names of the mesh hold until its name table changes, which is told otherwise.
func (r *resolver) Lookup(ctx context.Context, network, host string) ([]netip.Addr, time.Duration, error) {
	if d := r.s.dns; d != nil {
		v4, found := d.Known(host, false)
		v6, _ := d.Known(host, true)
		switch {
		case !found:
		case network == "ip4":
			return v4, 0, nil
		case network == "ip6":
			return v6, 0, nil
		default:
			return append(v4, v6...), 0, nil
		}
	}
	var life dns.Lifetime
	outside := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := r.dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return life.Watch(c), nil
	}}
	ips, err := outside.LookupNetIP(ctx, network, host)
	return ips, life.TTL(), err
}

// ownAddresses are those of this host, which names that clients give may not lead to.
func (s *Server) ownAddresses() (out []netip.Addr) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		s.opts.Log.Debug("own addresses not known", "error", err)
	}
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			out = append(out, p.Addr().Unmap())
		}
	}
	if w := s.opts.Workload; w != nil {
		out = append(out, w.IPs...)
	}
	return out
}

// systemNames is the file that Go's resolver reads by itself.
const systemNames = "/etc/resolv.conf"

func (s *Server) resolver() live.Resolver {
	var servers []string
	if f := s.opts.ResolvConf; f != "" && f != systemNames {
		servers, _, _ = dns.ParseResolvConf(f) // buildNames tells what is wrong with it
	}
	var turn atomic.Uint32
	return &resolver{s: s, dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		if s.opts.Outside != "" {
			return s.dialOut(ctx, "tcp", relayResolver)
		}
		if len(servers) > 0 {
			address = servers[turn.Add(1)%uint32(len(servers))] // every try of the resolver asks another one
		}
		return s.dialOut(ctx, network, address)
	}}
}

func (s *Server) buildNames() error {
	if len(s.opts.DNS) == 0 {
		return nil
	}
	if s.opts.Workload == nil {
		return fmt.Errorf("--dns-address needs a workload (sidecar or gateway): names depend on its namespace")
	}
	servers, search, err := dns.ParseResolvConf(s.opts.ResolvConf)
	if err != nil {
		s.opts.Log.Warn("names outside the mesh are not resolved", "error", err)
	}
	up := &dns.Upstream{Servers: servers, Dial: s.dialOut, Timeout: 2 * time.Second}
	if s.opts.Outside != "" {
		up.Servers, up.TCPOnly = []string{relayResolver}, true
	}
	w := s.opts.Workload
	// Behind a relay nobody outside knows the mesh's domain, so what is not in the table does not exist.
	zone := dns.Zone{Namespace: w.Namespace, Domain: w.Services(), Search: searchOf(w, search), Authoritative: s.opts.Outside != ""}
	s.dns = dns.New(zone, up, s.registry, s.opts.Log)
	return nil
}
