package udp

import (
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
)

// Table leads datagrams that programs of this machine send to destinations to the proxy; the kernel has it.
type Table interface {
	// Lead leads datagrams to these destinations, and to no others, to aliases of them: addresses of this machine, at the port of the listener with use_original_dst.
	// Ready is called with the aliases before anything changes.
	Lead(destinations []netip.AddrPort, ready func(aliases map[netip.AddrPort]netip.Addr)) error
}

// destinations are the listeners that no socket is bound for: what becomes of captured datagrams, by where they were sent to.
type destinations map[netip.AddrPort]*config.Listener

// destination is one of them.
type destination struct {
	at     netip.AddrPort
	config *config.Datagrams
}

func (d destinations) add(l *config.Listener) error {
	for _, a := range append([]netip.AddrPort{l.Address}, l.Extra...) {
		if other := d[a]; other != nil {
			return fmt.Errorf("listener %s: address %s (UDP) is taken by listener %s; give one of them another port", l.Name, a, other.Name)
		}
		d[a] = l
	}
	return nil
}

// lead captures the datagrams to destinations, if a listener takes them in, and tells the ports that take them what becomes of them.
func (s *Set) lead(captured destinations, wanted map[netip.AddrPort]*config.Listener, fresh map[netip.AddrPort]*listening) error {
	var entrances []*listening
	name, same := "", true
	for a, l := range wanted {
		if !l.UseOriginalDst {
			continue
		}
		name = l.Name
		if o := fresh[a]; o != nil {
			entrances, same = append(entrances, o), false
		} else {
			entrances = append(entrances, s.open[a])
		}
	}
	if len(entrances) == 0 {
		captured = nil
		if s.led == nil {
			return nil
		}
	}
	if same && maps.Equal(captured, s.captured) {
		return nil // as with most changes of configuration
	}
	if s.options.Table == nil {
		return fmt.Errorf("listener %s: use_original_dst: no datagrams are captured here; start the proxy with --capture-udp, or leave the listener out", name)
	}
	tell := func(led map[netip.Addr]destination) {
		for _, o := range entrances {
			for i, p := range o.ports {
				s.options.Workers[i].Post(func(*loop.Worker) { p.lead(led) })
			}
		}
	}
	led := map[netip.Addr]destination{}
	err := s.options.Table.Lead(slices.Collect(maps.Keys(captured)), func(aliases map[netip.AddrPort]netip.Addr) {
		for at, alias := range aliases {
			led[alias] = destination{at, captured[at].Datagrams}
		}
		tell(led)
	})
	if err != nil {
		tell(s.led)
		return fmt.Errorf("listener %s: %w", name, err)
	}
	s.captured = captured
	if s.led = led; len(entrances) == 0 {
		s.led = nil
	}
	return nil
}

// lead puts other destinations into force: sessions go on whose course is the same. It is called on the worker.
func (p *port) lead(led map[netip.Addr]destination) {
	if p.closed {
		return
	}
	former := p.captured
	p.captured = make(map[netip.Addr]*course, len(led))
	for alias, d := range led {
		c := former[alias]
		if c == nil || c.at != d.at || !alike(c.config, d.config) {
			c = &course{at: d.at, counters: newCounters(p.e.registry, d.config.Stat, p.at)}
		}
		c.config = d.config
		p.captured[alias] = c
	}
	for from, s := range p.sessions {
		if p.courseOf(from) != s.course {
			s.end()
		}
	}
}

// alike says whether sessions may go on under another configuration: access logs are written when they are over.
func alike(a, b *config.Datagrams) bool {
	one, two := *a, *b
	one.AccessLogs, two.AccessLogs = nil, nil
	return reflect.DeepEqual(one, two)
}
