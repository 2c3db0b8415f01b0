package dns

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"

	"github.com/heddle-mesh/heddle/xds/nds"
)

// Zone says from where a name is asked: it decides which short names mean what.
type Zone struct {
	Namespace string   // of the proxy: services of it answer to their bare name
	Domain    string   // "svc.cluster.local": namespace-qualified Kubernetes names end in it
	Search    []string // search suffixes of the clients; the first is understood when it was appended to a complete name
	// Authoritative names of the domain that are not in the table do not exist; nobody else is asked for them.
	Authoritative bool
	// Dialable leaves out addresses that lead nowhere but into a proxy: it is set where the proxy itself asks, for the names in its clusters.
	Dialable bool
}

// Lookup answers names from one table. It is immutable.
type Lookup struct {
	zone   Zone
	search string // ".first.search.suffix."
	domain string // ".cluster.local."
	hosts  map[string]*addresses
}

type addresses struct {
	v4, v6 []netip.Addr
}

// Result is what is known of a name.
type Result struct {
	Found     bool // the name exists in the mesh, perhaps without an address of the family that was asked for
	Alias     string
	Addresses []netip.Addr
}

// NewLookup indexes a table under every name that Istio's rules give: the host itself and, for services of the domain, name (in the proxy's own namespace), name.ns and
// name.ns.svc. A host that is written out wins over another one's short form.
func NewLookup(table nds.Table, zone Zone) *Lookup {
	l := &Lookup{zone: zone, hosts: make(map[string]*addresses, 4*len(table))}
	if len(zone.Search) > 0 {
		l.search = "." + canonical(zone.Search[0])
	}
	if _, parent, ok := strings.Cut(zone.Domain, "."); ok {
		l.domain = "." + canonical(parent)
	}
	for name, host := range table {
		l.hosts[canonical(name)] = parseAddresses(host.IPs)
	}
	for name, host := range table {
		a := l.hosts[canonical(name)]
		for _, alias := range zone.aliases(name, host) {
			if alias = canonical(alias); l.hosts[alias] == nil {
				l.hosts[alias] = a
			}
		}
	}
	return l
}

func (z Zone) aliases(name string, h nds.Host) (out []string) {
	out = append(out, h.AltHosts...)
	if h.Registry != nds.Kubernetes || h.Shortname == "" || h.Namespace == "" {
		// A host of another registry with a service's form: the search suffixes of its clients would lead to it as well.
		bare, ok := strings.CutSuffix(strings.TrimSuffix(name, "."), "."+z.Domain)
		short, ns, both := strings.Cut(bare, ".")
		if !ok || !both || z.Domain == "" || short == "*" || ns == "" || strings.Contains(ns, ".") {
			return out
		}
		h.Shortname, h.Namespace = short, ns
	}
	first, _, _ := strings.Cut(z.Domain, ".")
	if first == "" {
		first = "svc"
	}
	out = append(out, h.Shortname+"."+h.Namespace, h.Shortname+"."+h.Namespace+"."+first)
	if h.Namespace == z.Namespace {
		out = append(out, h.Shortname)
	}
	return out
}

func canonical(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) + "." }

func parseAddresses(ips []string) *addresses {
	a := &addresses{}
	for _, s := range ips {
		switch ip, err := netip.ParseAddr(s); {
		case err != nil: // checked when the table was taken
		case ip.Unmap().Is4():
			a.v4 = append(a.v4, ip.Unmap())
		default:
			a.v6 = append(a.v6, ip)
		}
	}
	return a
}

// Find looks up a fully qualified name (any case, with or without trailing dot).
func (l *Lookup) Find(name string, v6 bool) Result {
	r := l.lookUp(name, v6)
	if l.zone.Dialable {
		return r.dialable()
	}
	return r
}

// dialable is without the addresses that were made up for captured connections; a name that has no others is one for the outside.
func (r Result) dialable() Result {
	before := len(r.Addresses)
	r.Addresses = slices.DeleteFunc(r.Addresses, nds.Given)
	if before > 0 && len(r.Addresses) == 0 {
		return Result{}
	}
	return r
}

func (l *Lookup) lookUp(name string, v6 bool) Result {
	name = canonical(name)
	if a := l.find(name); a != nil {
		return a.result(v6, "")
	}
	if l.search != "" {
		if bare, ok := strings.CutSuffix(name, l.search); ok && bare != "" {
			if a := l.find(bare + "."); a != nil {
				return a.result(v6, bare+".")
			}
		}
	}
	return Result{}
}

// find matches the name itself, then wildcards from the longest to the shortest.
func (l *Lookup) find(name string) *addresses {
	if a := l.hosts[name]; a != nil {
		return a
	}
	for rest := name; ; {
		_, tail, ok := strings.Cut(rest, ".")
		if !ok || tail == "" {
			return nil
		}
		if a := l.hosts["*."+tail]; a != nil {
			return a
		}
		rest = tail
	}
}

func (a *addresses) result(v6 bool, alias string) Result {
	from := a.v4
	if v6 {
		from = a.v6
	}
	if len(from) == 0 {
		return Result{Found: true, Alias: alias}
	}
	// A rotated start spreads clients that take the first answer.
	at := rand.IntN(len(from))
	list := append(append(make([]netip.Addr, 0, len(from)), from[at:]...), from[:at]...)
	return Result{Found: true, Alias: alias, Addresses: list[:min(len(list), maxAnswers)]}
}

// ours says whether a name that was not found does not exist at all.
func (l *Lookup) ours(name string) bool {
	return l.zone.Authoritative && l.domain != "" && strings.HasSuffix(canonical(name), l.domain)
}
