// Package resolve looks up names that clients give, in a Host header or as the server name of their TLS, while they wait.
//
// In: a name and what may become of it. Out: an address. Whoever names the host may be hostile: what is known is bounded in number and time, failures are remembered, look-ups
// at once are few, and no name leads back to the proxy's own host unless that is asked for. Names are shared by all workers and safe for concurrent use.
package resolve

import (
	"cmp"
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/stats"
)

// Resolver looks a name up. network is ip, ip4 or ip6; ttl is how long the answer holds, 0 when that is not known.
type Resolver interface {
	Lookup(ctx context.Context, network, host string) (ips []netip.Addr, ttl time.Duration, err error)
}

// The reasons why a name leads nowhere.
var (
	ErrName      = errors.New("the name is none that may be asked for")
	ErrForbidden = errors.New("the name leads to an address of this host")
	ErrOverflow  = errors.New("too many names are being looked up")
	ErrPending   = errors.New("too many clients wait for names")
	errNothing   = errors.New("the name has no address")
)

// maxLookups bounds the look-ups that one cache makes at once.
const maxLookups = 64

// Options make Names.
type Options struct {
	Resolver Resolver
	// Own gives the proxy's own addresses, nil for none.
	Own   func() []netip.Addr
	Now   func() time.Time
	Stats *stats.Registry
}

// Names is what is known of names.
type Names struct {
	opts   Options
	shard  *stats.Shard
	mine   atomic.Pointer[mine]
	mu     sync.Mutex
	caches map[string]*cache
}

// New makes Names that know nothing.
func New(o Options) *Names {
	if o.Now == nil {
		o.Now = time.Now
	}
	n := &Names{opts: o, caches: map[string]*cache{}}
	if o.Stats != nil {
		n.shard = o.Stats.NewShard()
	}
	return n
}

// cache is what is known under one name of a configuration.
type cache struct {
	names   map[string]*entry
	looking int
	waiting int
	counts  counts
}

// entry is one name.
//
//	looking → (fresh | failed) → looking; forgotten when nobody asks
type entry struct {
	ips     []netip.Addr
	err     error
	until   time.Time // a look-up is due after it
	forget  time.Time // the addresses count until then although a look-up fails
	used    time.Time
	looking bool
	waiters []*Wait
}

// Wait is a client that waits for a name.
type Wait struct {
	n     *Names
	c     *cache
	e     *entry
	reach config.Reach
	done  func(netip.Addr, error)
}

// Cancel takes the client out of those that wait; done may be on its way already.
func (w *Wait) Cancel() {
	w.n.mu.Lock()
	defer w.n.mu.Unlock()
	if i := slices.Index(w.e.waiters, w); i >= 0 {
		w.e.waiters = slices.Delete(w.e.waiters, i, i+1)
		w.c.waiting--
	}
}

// Find gives the address of a name if it is known (or why there is none), else a Wait, and done is called from another goroutine later.
func (n *Names) Find(def *config.Names, reach config.Reach, name string, done func(netip.Addr, error)) (netip.Addr, error, *Wait) {
	name, ok := proper(name, reach.Host)
	if !ok {
		return netip.Addr{}, ErrName, nil
	}
	if ip, err := netip.ParseAddr(name); err == nil {
		a, err := n.choose(def, reach, []netip.Addr{ip.Unmap()})
		return a, err, nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	c := n.cache(def.Name)
	now := n.opts.Now()
	e := c.names[name]
	switch {
	case e == nil:
	case now.Before(e.until), len(e.ips) > 0 && now.Before(e.forget):
		if e.used = now; !now.Before(e.until) && !e.looking && c.looking < maxLookups {
			n.begin(def, c, name, e) // what is known serves until there is something newer
		}
		if e.err != nil && len(e.ips) == 0 {
			return netip.Addr{}, e.err, nil
		}
		a, err := n.choose(def, reach, e.ips)
		return a, err, nil
	case e.looking:
	default:
		e.ips, e.err = nil, nil
	}
	if c.waiting >= def.Pending {
		n.count(c.counts.pendingOverflow)
		return netip.Addr{}, ErrPending, nil
	}
	if e == nil || !e.looking {
		if c.looking >= maxLookups || e == nil && !n.room(def, c, now) {
			n.count(c.counts.overflow)
			return netip.Addr{}, ErrOverflow, nil
		}
		if e == nil {
			e = &entry{}
			c.names[name] = e
			n.count(c.counts.added)
		}
		n.begin(def, c, name, e)
	}
	e.used = now
	w := &Wait{n: n, c: c, e: e, reach: reach, done: done}
	e.waiters = append(e.waiters, w)
	c.waiting++
	return netip.Addr{}, nil, w
}

func (n *Names) cache(name string) *cache {
	c := n.caches[name]
	if c == nil {
		c = &cache{names: map[string]*entry{}}
		if n.opts.Stats != nil {
			c.counts = newCounts(n.opts.Stats, name)
		}
		n.caches[name] = c
	}
	return c
}

// room says whether there is a place for one more name: what failed and what nobody asked for the longest goes. mu is held.
func (n *Names) room(def *config.Names, c *cache, now time.Time) bool {
	if len(c.names) < def.Most {
		return true
	}
	oldest := ""
	for name, e := range c.names {
		if e.looking {
			continue
		}
		if now.Sub(e.used) > def.Unused {
			delete(c.names, name)
			n.count(c.counts.removed)
			continue
		}
		if o := c.names[oldest]; o == nil || cmp.Or(cmp.Compare(min(len(o.ips), 1), min(len(e.ips), 1)), o.used.Compare(e.used)) > 0 {
			oldest = name
		}
	}
	if len(c.names) >= def.Most && oldest != "" {
		delete(c.names, oldest)
		n.count(c.counts.removed)
	}
	return len(c.names) < def.Most
}

// begin looks a name up. mu is held.
func (n *Names) begin(def *config.Names, c *cache, name string, e *entry) {
	e.looking = true
	c.looking++
	n.count(c.counts.attempt)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), def.Timeout)
		defer cancel()
		ips, ttl, err := n.opts.Resolver.Lookup(ctx, network(def.Family), name)
		n.ended(def, c, e, ips, ttl, err)
	}()
}

func network(f config.DNSFamily) string {
	switch f {
	case config.DNSV4:
		return "ip4"
	case config.DNSV6:
		return "ip6"
	}
	return "ip"
}

// ended takes the answer and wakes those who wait for it.
func (n *Names) ended(def *config.Names, c *cache, e *entry, ips []netip.Addr, ttl time.Duration, err error) {
	for i := range ips {
		ips[i] = ips[i].Unmap()
	}
	slices.SortFunc(ips, netip.Addr.Compare) // IPv4 before IPv6
	ips = slices.Compact(ips)
	if err == nil && len(ips) == 0 {
		err = errNothing
	}
	n.mu.Lock()
	now := n.opts.Now()
	e.looking = false
	c.looking--
	if err != nil {
		n.count(c.counts.failure)
		e.err, e.until = err, now.Add(def.Least) // former addresses stay as long as they may
	} else {
		n.count(c.counts.success)
		hold := min(max(cmp.Or(ttl, def.Refresh), def.Least), def.Unused)
		e.ips, e.err, e.until, e.forget = ips, nil, now.Add(hold), now.Add(hold+def.Unused)
	}
	waiters := e.waiters
	e.waiters = nil
	c.waiting -= len(waiters)
	n.mu.Unlock()
	for _, w := range waiters {
		if err != nil {
			w.done(netip.Addr{}, err)
			continue
		}
		a, failed := n.choose(def, w.reach, ips)
		w.done(a, failed)
	}
}

// choose gives the first address that may be dialled.
func (n *Names) choose(def *config.Names, reach config.Reach, ips []netip.Addr) (netip.Addr, error) {
	if def.Family == config.DNSAuto { // AUTO: IPv6 if there is any (dns_lookup_family)
		if v6 := slices.IndexFunc(ips, netip.Addr.Is6); v6 > 0 {
			ips = ips[v6:]
		}
	}
	own := n.own()
	for _, ip := range ips {
		if slices.ContainsFunc(reach.Allow, func(p netip.Prefix) bool { return p.Contains(ip) }) || !near(ip) && !slices.Contains(own, ip) {
			return ip, nil
		}
	}
	return netip.Addr{}, ErrForbidden
}

// ownFor is how long the proxy's own addresses are taken for what they were.
const ownFor = 5 * time.Second

// own are the proxy's own addresses.
func (n *Names) own() []netip.Addr {
	if n.opts.Own == nil {
		return nil
	}
	now := n.opts.Now()
	if o := n.mine.Load(); o != nil && now.Sub(o.at) < ownFor {
		return o.list
	}
	o := &mine{n.opts.Own(), now}
	n.mine.Store(o)
	return o.list
}

type mine struct {
	list []netip.Addr
	at   time.Time
}

// Prefixes of IPv6 in whose last 32 bits there is an IPv4 address: of translators (RFC 6052), and the old compatible form (RFC 4291).
var embedding = []netip.Prefix{netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("::/96")}

// near says whether an address is of this host, of its link (where cloud providers answer for it), or of nobody.
func near(ip netip.Addr) bool {
	ip = ip.Unmap()
	if ip.IsLoopback() || ip.IsUnspecified() || ip.IsLinkLocalUnicast() || ip.IsMulticast() {
		return true
	}
	if b := ip.As16(); ip.Is6() && slices.ContainsFunc(embedding, func(p netip.Prefix) bool { return p.Contains(ip) }) {
		return near(netip.AddrFrom4([4]byte(b[12:])))
	}
	return ip.Is4() && (ip.As4()[0] == 0 || ip == netip.AddrFrom4([4]byte{255, 255, 255, 255}))
}

// proper is a name in lower case without its last dot, if it may be asked for.
func proper(name, host string) (string, bool) {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	name = strings.TrimSuffix(strings.TrimPrefix(name, "["), "]")
	if name == "" || len(name) > 253 || strings.HasPrefix(name, ".") || strings.Contains(name, "..") {
		return "", false
	}
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '.' && c != '_' && c != ':' {
			return "", false
		}
	}
	if suffix, wild := strings.CutPrefix(host, "*"); wild {
		return name, len(name) > len(suffix) && strings.HasSuffix(name, suffix)
	}
	return name, host == "" || host == name
}
