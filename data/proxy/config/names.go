package config

import (
	"net/netip"
	"time"
)

// Names is envoy.extensions.common.dynamic_forward_proxy.v3.DnsCacheConfig: how names that clients give are looked up while they wait. Everything that has the same Name
// shares what is known.
type Names struct {
	Name    string
	Family  DNSFamily
	Refresh time.Duration // how long an answer holds that does not say it
	Least   time.Duration // the shortest time that an answer holds, and the time that a failure does (dns_min_refresh_rate)
	Unused  time.Duration // the longest time that an answer holds, and after which it is forgotten when nobody asks (host_ttl)
	Timeout time.Duration // of one look-up
	Most    int           // names that are known at once
	Pending int           // clients that wait at once
}

// Reach is what a cluster lets names lead to, beside addresses that are of other hosts (metadata heddle.dev/names).
type Reach struct {
	// Host covers the names that may be asked for; "" is any, "*.suffix" those that end so.
	Host string
	// Allow are loopback, link-local, and the proxy's own addresses that names may nevertheless lead to.
	Allow []netip.Prefix
}

// NameForward is envoy.extensions.filters.network.sni_dynamic_forward_proxy.v3.FilterConfig: connections go to the name that the client gives in its TLS.
type NameForward struct {
	Names *Names
	Port  uint16
}
