package accept

import (
	"fmt"
	"net/netip"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
	"github.com/heddle-mesh/heddle/data/proxy/tls"
)

// transport is the TLS of a chain, nil for plaintext.
type transport = *tls.ServerContext

// bound is a listener of a Table.
type bound struct {
	*config.Listener
	chains   []*Chain
	fallback *Chain
	headers  *headerCounts // nil: nobody counts
	shakes   *shakeCounts  // nil: nobody counts
}

// restores says whether the original destination is asked for; use_original_dst implies the listener filter, as in Envoy.
func (b *bound) restores() bool { return b.Inspect.OriginalDst || b.UseOriginalDst }

// table is all listeners of one config, ready to be looked up. Immutable.
type table struct {
	all []*bound
	// at holds the listeners by address; those with Bind false only take what is handed on.
	at map[loop.Address]*bound
	// named holds them by name.
	named map[string]*bound
	// capture are the addresses that redirected connections arrive at.
	capture  map[uint16]bool
	contexts map[*config.ServerTLS]*tls.ServerContext
}

// compile makes a table; contexts of former are kept where the config is the same value, so that sessions live on. Errors name listener and field.
func (s *Set) compile(listeners []*config.Listener) (*table, error) {
	secrets, former := s.options.Secrets, s.current.Load()
	t := &table{at: map[loop.Address]*bound{}, named: map[string]*bound{}, capture: map[uint16]bool{}, contexts: map[*config.ServerTLS]*tls.ServerContext{}}
	for _, l := range listeners {
		if l.Datagrams != nil {
			continue // package udp has it
		}
		b := &bound{Listener: l, headers: s.options.Counters.headers(l), shakes: s.options.Counters.handshakes(l)}
		var err error
		for i, c := range l.Chains {
			var chain *Chain
			if chain, err = t.chain(c, secrets, former); err != nil {
				return nil, fmt.Errorf("listener %s: filter_chains[%d].transport_socket.typed_config.%w", l.Name, i, err)
			}
			b.chains = append(b.chains, chain)
		}
		if l.Default != nil {
			if b.fallback, err = t.chain(l.Default, secrets, former); err != nil {
				return nil, fmt.Errorf("listener %s: default_filter_chain.transport_socket.typed_config.%w", l.Name, err)
			}
		}
		for _, a := range addresses(l) {
			if other := t.at[a]; other != nil && (other.Bind == l.Bind) {
				return nil, fmt.Errorf("listener %s: address %s is taken by listener %s; give one of them another port", l.Name, a, other.Name)
			} else if other == nil || l.Bind {
				t.at[a] = b
			}
			if b.restores() {
				t.capture[a.Port()] = true
			}
		}
		t.all = append(t.all, b)
		t.named[b.Name] = b
	}
	return t, nil
}

func (t *table) chain(c *config.Chain, secrets tls.Secrets, former *table) (*Chain, error) {
	if c.TLS == nil {
		return &Chain{Chain: c}, nil
	}
	x := t.contexts[c.TLS]
	if x == nil && former != nil {
		x = former.contexts[c.TLS]
	}
	if x == nil {
		var err error
		if x, err = tls.NewServerContext(c.TLS, secrets); err != nil {
			return nil, err
		}
	}
	t.contexts[c.TLS] = x
	return &Chain{c, x}, nil
}

// addresses of a listener in the form of a key.
func addresses(l *config.Listener) (all []loop.Address) {
	if l.Path != "" {
		return []loop.Address{loop.Unix(l.Path)}
	}
	all = append(all, loop.TCP(l.Address))
	for _, a := range l.Extra {
		all = append(all, loop.TCP(a))
	}
	return all
}

// handOn finds the listener that a redirected connection belongs to: by its original address, then by its port alone; else self keeps it.
func (t *table) handOn(self *bound, o *loop.Origin) *bound {
	if !self.UseOriginalDst || !o.Restored {
		return self
	}
	if b := t.at[o.Original]; b != nil {
		return b
	}
	any4 := loop.TCP(netip.AddrPortFrom(netip.IPv4Unspecified(), o.Original.Port()))
	any6 := loop.TCP(netip.AddrPortFrom(netip.IPv6Unspecified(), o.Original.Port()))
	if o.Original.Addr().Is4() {
		if b := t.at[any4]; b != nil {
			return b
		}
	}
	if b := t.at[any6]; b != nil && (o.Original.Addr().Is6() || b.IPv4Compat) {
		return b
	}
	return self
}

// loops says whether a connection was meant for the capturing listener itself: to pass it on would bring it back.
func (t *table) loops(self *bound, o *loop.Origin) bool {
	if !self.restores() || !t.capture[o.Original.Port()] {
		return false
	}
	ip := o.Original.Addr()
	return ip == o.Local.Addr() || ip.IsLoopback() || ip.IsUnspecified()
}

// choose finds the chain of a connection, the default chain if none matches, or nil.
func (b *bound) choose(o *loop.Origin) *Chain {
	if c := choose(b.chains, o); c != nil {
		return c
	}
	return b.fallback
}
