package live

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/internal/backoff"
)

// Resolver looks a host name up. network is ip, ip4 or ip6. ttl is how long the answer holds, 0 when that is not known.
type Resolver interface {
	Lookup(ctx context.Context, network, host string) (ips []netip.Addr, ttl time.Duration, err error)
}

const lookupTimeout = 5 * time.Second

// resolution looks up the names of one cluster's endpoints again and again.
type resolution struct {
	of     *config.Cluster
	result *config.Assignment // nil before the first answer
	former *config.Assignment // of the cluster's last definition, until there is a result
	cancel context.CancelFunc
}

// resolve starts and ends the look-ups, so that there is one for each STRICT_DNS and LOGICAL_DNS cluster.
func (l *Live) resolve() {
	if l.opts.Resolve == nil {
		return
	}
	wanted := map[string]*config.Cluster{}
	for name, s := range l.clusters {
		h := s.next
		if h == nil {
			h = s.live
		}
		if t := h.value.Type; t == config.StrictDNS || t == config.LogicalDNS {
			wanted[name] = h.value
		}
	}
	for name, r := range l.resolving {
		if wanted[name] == nil {
			r.cancel()
			delete(l.resolving, name)
		}
	}
	for name, c := range wanted {
		r := l.resolving[name]
		if r != nil && r.of == c {
			continue
		}
		fresh := &resolution{of: c}
		if r != nil {
			if fresh.former = r.result; fresh.former == nil {
				fresh.former = r.former
			}
		}
		l.begin(name, fresh, r)
	}
}

// begin starts a resolution in the place of another.
func (l *Live) begin(name string, fresh, former *resolution) {
	if former != nil {
		former.cancel()
	}
	ctx, cancel := context.WithCancel(context.Background())
	fresh.cancel = cancel
	l.resolving[name] = fresh
	go l.lookUp(ctx, fresh)
}

// resolveAgain asks for every name at once: the names of the mesh have changed.
func (l *Live) resolveAgain() {
	for name, r := range l.resolving {
		l.begin(name, &resolution{of: r.of, result: r.result, former: r.former}, r)
	}
}

// found is what to use now.
func (r *resolution) found() *config.Assignment {
	switch {
	case r.result != nil:
		return r.result
	case r.former != nil:
		return r.former
	}
	return &none
}

var none config.Assignment

func (l *Live) lookUp(ctx context.Context, r *resolution) {
	retry := backoff.Backoff{First: r.of.DNSRetry[0], Limit: r.of.DNSRetry[1]}
	for {
		found, ttl, err := lookUpAll(ctx, l.opts.Resolve, r.of)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			l.opts.Log.Warn("name not found, the last addresses stay", "cluster", r.of.Name, "error", err)
		}
		l.mu.Lock()
		if l.resolving[r.of.Name] == r && (r.result == nil || err == nil && !sameEndpoints(r.result, found)) {
			r.result = found
			l.late(l.reconcile(nil))
		}
		l.mu.Unlock()
		wait := r.of.DNSRefresh
		switch {
		case err != nil:
			wait = retry.Next()
		case r.of.RespectDNSTTL && ttl > 0:
			wait = ttl
			fallthrough
		default:
			wait = max(wait, time.Second)
			retry.Reset()
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait - time.Duration(rand.Int64N(int64(wait/10)+1))):
		}
	}
}

// lookUpAll replaces host names by addresses, and says how long all of them hold. The first error is returned with what was found beside it.
func lookUpAll(ctx context.Context, resolver Resolver, c *config.Cluster) (out *config.Assignment, ttl time.Duration, failed error) {
	out = &config.Assignment{Overprovisioning: c.Assignment.Overprovisioning, Version: c.Assignment.Version}
	for _, l := range c.Assignment.Localities {
		locality := l
		locality.Endpoints = nil
		for _, e := range l.Endpoints {
			if e.Host == "" {
				locality.Endpoints = append(locality.Endpoints, e)
				continue
			}
			ips, holds, err := lookUpOne(ctx, resolver, c, e.Host)
			if err != nil && failed == nil {
				failed = err
			}
			if holds > 0 && (ttl == 0 || holds < ttl) {
				ttl = holds
			}
			for _, ip := range ips {
				at := *e
				at.Address = netip.AddrPortFrom(ip, e.Port)
				if at.Hostname == "" {
					at.Hostname = e.Host
				}
				at.Host = ""
				locality.Endpoints = append(locality.Endpoints, &at)
			}
		}
		out.Localities = append(out.Localities, locality)
	}
	return out, ttl, failed
}

func lookUpOne(ctx context.Context, resolver Resolver, c *config.Cluster, host string) ([]netip.Addr, time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	network := map[config.DNSFamily]string{config.DNSV4: "ip4", config.DNSV6: "ip6"}[c.DNSFamily]
	if network == "" {
		network = "ip"
	}
	ips, ttl, err := resolver.Lookup(ctx, network, host)
	if err != nil {
		return nil, 0, err
	}
	for i := range ips {
		ips[i] = ips[i].Unmap()
	}
	slices.SortFunc(ips, netip.Addr.Compare)
	ips = slices.Compact(ips)
	if v6 := slices.IndexFunc(ips, netip.Addr.Is6); c.DNSFamily == config.DNSAuto && v6 > 0 {
		ips = ips[v6:] // AUTO: IPv6 if there is any (dns_lookup_family)
	}
	if c.Type == config.LogicalDNS && len(ips) > 1 {
		ips = ips[:1]
	}
	return ips, ttl, nil
}

func sameEndpoints(a, b *config.Assignment) bool {
	return slices.EqualFunc(a.Localities, b.Localities, func(x, y config.Locality) bool {
		return slices.EqualFunc(x.Endpoints, y.Endpoints, func(p, q *config.Endpoint) bool { return p.Address == q.Address && p.Path == q.Path })
	})
}
