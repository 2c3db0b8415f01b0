package agent

import (
	"log/slog"
	"net"
	"net/netip"

	"github.com/heddle-mesh/heddle/data/proxy/dns"
	"github.com/heddle-mesh/heddle/data/proxy/stats"
	"github.com/heddle-mesh/heddle/xds/nds"
)

// openNames answers the workload where the options say, and Envoy on a port of its own: what Envoy dials is not captured, so that it needs other answers.
func (a *agent) openNames() error {
	servers, search, err := dns.ParseResolvConf(a.o.ResolvConf)
	if err != nil {
		a.log.Warn("names outside of the mesh are not resolved", "error", err)
	}
	w := &a.o.Workload
	zone := dns.Zone{Namespace: w.Namespace, Domain: w.Services(), Search: append([]string{w.Namespace + "." + w.Services()}, search...)}
	upstream := &dns.Upstream{Servers: servers, Dial: a.o.dialer().DialContext, Timeout: dnsTimeout}
	log := a.log.With("part", "dns")
	if len(a.o.DNS) > 0 {
		a.names = dns.New(zone, upstream, stats.New(), log)
		if _, err := listenAny(a.names, a.o.DNS, len(a.o.DNS), log); err != nil {
			return err
		}
	}
	zone.Dialable = true
	a.own = dns.New(zone, upstream, stats.New(), log)
	a.resolver, err = listenAny(a.own, []string{"127.0.0.1:0", "[::1]:0"}, 1, log)
	return err
}

// listenAny binds as many of the addresses as are wanted and as the machine has, and gives the first. It is an error to bind none.
func listenAny(s *dns.Server, addresses []string, want int, log *slog.Logger) (first netip.AddrPort, err error) {
	bound := 0
	for _, address := range addresses {
		at, failed := s.Listen(address)
		switch {
		case failed == nil:
			if bound++; bound == 1 {
				first = at.(*net.TCPAddr).AddrPort()
			}
		case noSuchAddress(failed): // a machine without one of the two families
			log.Warn("DNS is not served on an address", "error", failed)
			err = failed
		default:
			return first, failed
		}
		if bound == want {
			break
		}
	}
	if bound > 0 {
		return first, nil
	}
	return first, err
}

// setNames takes a name table.
func (a *agent) setNames(b []byte) error {
	t, err := nds.Unmarshal(b)
	if err != nil {
		return err
	}
	for _, s := range []*dns.Server{a.names, a.own} {
		if s != nil {
			s.SetTable(t)
		}
	}
	return nil
}
