package view

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/heddle-mesh/heddle/mesh"
)

// The questions that may be asked about a proxy. A question is coarse on purpose: every proxy with the same answers shares the result.
type (
	inNamespace  struct{ namespace mesh.Namespace }
	namespaceOf  struct{}
	matches      struct{ selector string } // canonical form of the labels
	can          struct{ feature mesh.Feature }
	kindOf       struct{}
	sameNetwork  struct{ network mesh.NetworkID }
	localityRank struct{ locality mesh.Locality }
	inLocality   struct{ pattern mesh.LocalityPattern }
	labelIs      struct{ key, value string } // "" is absence
	mayRead      struct{ secret mesh.SecretID }
	hasIPv4      struct{}
	hasIPv6      struct{}
	capturesDNS  struct{}
	capture      struct{}
	loopback     struct{}
	addressesOf  struct{}
	application  struct{ port uint16 }
	served       struct{}
	configOf     struct{}
	placed       struct{}
)

// The answer is the proxy's own ProxyConfig, or the one of nobody where it has none.
func (configOf) Answer(_ *Source, p *mesh.Proxy) any {
	if p.Config == nil {
		return ownConfig{}
	}
	return ownConfig{said: true, config: *p.Config}
}

type ownConfig struct {
	said   bool
	config mesh.ProxyConfig
}

func (q inNamespace) Answer(_ *Source, p *mesh.Proxy) any { return p.Namespace == q.namespace }
func (namespaceOf) Answer(_ *Source, p *mesh.Proxy) any   { return p.Namespace }
func (q can) Answer(_ *Source, p *mesh.Proxy) any         { return p.Can(q.feature) }
func (kindOf) Answer(_ *Source, p *mesh.Proxy) any        { return p.Kind }
func (q sameNetwork) Answer(_ *Source, p *mesh.Proxy) any { return p.Network == q.network }
func (capture) Answer(_ *Source, p *mesh.Proxy) any       { return p.Capture }

// A proxy reads the credentials of its own namespace only: node metadata is no proof, so the namespace is that of its identity when it has one.
func (q mayRead) Answer(_ *Source, p *mesh.Proxy) any {
	if !p.Identity.IsZero() {
		return mesh.Namespace(p.Identity.Namespace()) == q.secret.Namespace
	}
	return p.Namespace == q.secret.Namespace
}

func (q matches) Answer(_ *Source, p *mesh.Proxy) any {
	for rest := q.selector; rest != ""; {
		var pair string
		pair, rest, _ = strings.Cut(rest, "\n")
		k, v, _ := strings.Cut(pair, "=")
		if got, ok := p.Labels[k]; !ok || got != v {
			return false
		}
	}
	return true
}

func selectorText(l mesh.Labels) string {
	var b strings.Builder
	for i, k := range slices.Sorted(maps.Keys(l)) {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(k + "=" + l[k])
	}
	return b.String()
}

// Rank 0 is the same sub-zone, 1 the same zone, 2 the same region, 3 elsewhere.
func (q localityRank) Answer(s *Source, p *mesh.Proxy) any {
	switch own := whereabouts(s, p); {
	case own == q.locality:
		return 0
	case own.Region == q.locality.Region && own.Zone == q.locality.Zone:
		return 1
	case own.Region == q.locality.Region:
		return 2
	}
	return 3
}

// placed: heddle-proxy finds itself among its like, whose places are known; stock Envoy is told in its bootstrap or not at all.
func (placed) Answer(s *Source, p *mesh.Proxy) any {
	return p.Locality != (mesh.Locality{}) || !p.Envoy && whereabouts(s, p) != (mesh.Locality{})
}

// Grounds are those of localityRank.
func (placed) Grounds(_ *Source, p *mesh.Proxy) []mesh.Key { return whereaboutsOf(p) }

// Grounds are the workloads that the proxy may be, where it does not say itself where it runs.
func (q localityRank) Grounds(_ *Source, p *mesh.Proxy) []mesh.Key { return whereaboutsOf(p) }

func (q inLocality) Answer(s *Source, p *mesh.Proxy) any { return q.pattern.Matches(whereabouts(s, p)) }

// Grounds are those of localityRank.
func (q inLocality) Grounds(_ *Source, p *mesh.Proxy) []mesh.Key { return whereaboutsOf(p) }

// whereabouts is where the proxy runs: what it says, else what is known of its workload (of a pod, its node).
func whereabouts(s *Source, p *mesh.Proxy) mesh.Locality {
	if p.Locality == (mesh.Locality{}) {
		if w := workloadOf(s, p); w != nil {
			return w.Locality
		}
	}
	return p.Locality
}

func whereaboutsOf(p *mesh.Proxy) []mesh.Key {
	if p.Locality != (mesh.Locality{}) {
		return nil
	}
	return workloadKeys(p)
}

func (q labelIs) Answer(s *Source, p *mesh.Proxy) any {
	value, ok := mesh.Topology(q.key, p.Network, p.Cluster, whereabouts(s, p))
	if q.key == mesh.LabelHostname {
		if w := workloadOf(s, p); w != nil && w.Node != "" {
			value, ok = w.Node, true
		}
	}
	if !ok {
		value = p.Labels[q.key]
	}
	return value == q.value
}

// Grounds are the workloads that the proxy may be, which know their node and their place.
func (q labelIs) Grounds(_ *Source, p *mesh.Proxy) []mesh.Key {
	switch q.key {
	case mesh.LabelHostname:
		return workloadKeys(p)
	case mesh.LabelRegion, mesh.LabelZone, mesh.LabelSubzone:
		return whereaboutsOf(p)
	}
	return nil
}

func (hasIPv4) Answer(_ *Source, p *mesh.Proxy) any {
	for _, a := range p.Addresses {
		if a.Unmap().Is4() {
			return true
		}
	}
	return len(p.Addresses) == 0
}

func (hasIPv6) Answer(_ *Source, p *mesh.Proxy) any {
	for _, a := range p.Addresses {
		if !a.Unmap().Is4() {
			return true
		}
	}
	return false
}

// Our own proxy always answers DNS; Envoy's agent does when its metadata says so.
func (capturesDNS) Answer(_ *Source, p *mesh.Proxy) any {
	return !p.Envoy || p.Metadata["DNS_CAPTURE"] == "true"
}

// Several workloads of one machine may have loopback addresses of their own.
func (loopback) Answer(_ *Source, p *mesh.Proxy) any {
	for _, a := range p.Addresses {
		if a.Unmap().IsLoopback() {
			return a.Unmap()
		}
	}
	return netip.AddrFrom4([4]byte{127, 0, 0, 1})
}

func (addressesOf) Answer(_ *Source, p *mesh.Proxy) any {
	texts := make([]string, len(p.Addresses))
	for i, a := range p.Addresses {
		texts[i] = a.Unmap().String()
	}
	return strings.Join(texts, ",")
}

// A proxy may say in its metadata HEDDLE_APPLICATIONS where its workload really listens: PORT=IP:PORT,PORT=IP:PORT. What it says concerns nobody else.
func (q application) Answer(_ *Source, p *mesh.Proxy) any {
	prefix := strconv.Itoa(int(q.port)) + "="
	for pair := range strings.SplitSeq(p.Metadata["HEDDLE_APPLICATIONS"], ",") {
		if text, ok := strings.CutPrefix(pair, prefix); ok {
			if at, err := netip.ParseAddrPort(text); err == nil && at.Addr().IsLoopback() {
				return at
			}
		}
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), q.port)
}

// served answers with the services that the proxy's workload serves, in one canonical text, so that the pods of a Deployment answer alike.
func (served) Answer(s *Source, p *mesh.Proxy) any {
	w := workloadOf(s, p)
	if w == nil {
		return ""
	}
	var b strings.Builder
	for _, ws := range w.Services {
		b.WriteString(string(ws.Service.Namespace) + "\t" + string(ws.Service.Host))
		for _, name := range slices.Sorted(maps.Keys(ws.Ports)) {
			b.WriteString("\t" + name + "=" + strconv.Itoa(int(ws.Ports[name])))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// Grounds are the workloads that the proxy may be.
func (served) Grounds(_ *Source, p *mesh.Proxy) []mesh.Key { return workloadKeys(p) }

func workloadKeys(p *mesh.Proxy) []mesh.Key {
	ids := workloadIDs(p)
	keys := make([]mesh.Key, len(ids))
	for i, id := range ids {
		keys[i] = mesh.Key{Noun: mesh.OfWorkloads, Name: id}
	}
	return keys
}

// workloadIDs are those that the proxy's workload may have: the entry that it registered, or what is called like the proxy.
func workloadIDs(p *mesh.Proxy) []mesh.WorkloadID {
	id := mesh.WorkloadID{Cluster: cmp.Or(p.Cluster, mesh.DefaultCluster), Namespace: p.Namespace, Kind: "WorkloadEntry", Name: cmp.Or(p.Entry, p.Name)}
	if p.Entry != "" {
		return []mesh.WorkloadID{id}
	}
	pod := id
	pod.Kind = "Pod"
	return []mesh.WorkloadID{pod, id}
}

func workloadOf(s *Source, p *mesh.Proxy) *mesh.Workload {
	for _, id := range workloadIDs(p) {
		if w, ok := s.Workloads.Get(id); ok {
			return w
		}
	}
	return nil
}

// InNamespace says whether the proxy is in a namespace.
func (v *View) InNamespace(ns mesh.Namespace) bool { return v.r.Ask(inNamespace{ns}).(bool) }

// Namespace is the proxy's namespace; prefer InNamespace, which leaves fewer variants.
func (v *View) Namespace() mesh.Namespace { return v.r.Ask(namespaceOf{}).(mesh.Namespace) }

// ProxyMatches says whether the proxy's labels match a selector.
func (v *View) ProxyMatches(selector mesh.Labels) bool {
	return len(selector) == 0 || v.r.Ask(matches{selectorText(selector)}).(bool)
}

// Can says whether the proxy announced a feature.
func (v *View) Can(f mesh.Feature) bool { return v.r.Ask(can{f}).(bool) }

// Kind is whether the proxy is a sidecar or a gateway.
func (v *View) Kind() mesh.ProxyKind { return v.r.Ask(kindOf{}).(mesh.ProxyKind) }

// SameNetwork says whether endpoints of a network are reached directly.
func (v *View) SameNetwork(n mesh.NetworkID) bool { return v.r.Ask(sameNetwork{n}).(bool) }

// LocalityRank is how far a locality is: 0 same sub-zone, 1 same zone, 2 same region, 3 elsewhere.
func (v *View) LocalityRank(l mesh.Locality) int { return v.r.Ask(localityRank{l}).(int) }

// InLocality says whether the proxy runs in a locality of a pattern.
func (v *View) InLocality(p mesh.LocalityPattern) bool { return v.r.Ask(inLocality{p}).(bool) }

// Placed says whether the proxy knows where it runs.
func (v *View) Placed() bool { return v.r.Ask(placed{}).(bool) }

// LabelIs says whether a label of the proxy, or its place where the label stands for that, has a value; "" asks for absence.
func (v *View) LabelIs(key, value string) bool { return v.r.Ask(labelIs{key, value}).(bool) }

// MayRead says whether the proxy's identity may be given a credential.
func (v *View) MayRead(s mesh.SecretID) bool { return v.r.Ask(mayRead{s}).(bool) }

// HasIPv4 says whether the proxy has an IPv4 address (or none is known).
func (v *View) HasIPv4() bool { return v.r.Ask(hasIPv4{}).(bool) }

// HasIPv6 says whether the proxy has an IPv6 address.
func (v *View) HasIPv6() bool { return v.r.Ask(hasIPv6{}).(bool) }

// CapturesDNS says whether names are resolved by the proxy, so that given addresses are dialled.
func (v *View) CapturesDNS() bool { return v.r.Ask(capturesDNS{}).(bool) }

// KeepsSource says whether the application is called from the addresses of its clients (INTERCEPTION_MODE is TPROXY).
func (v *View) KeepsSource() bool { return v.r.Ask(capture{}).(string) == "TPROXY" }

// Captured says whether traffic is redirected to the proxy (INTERCEPTION_MODE is not NONE).
func (v *View) Captured() bool { return v.r.Ask(capture{}).(string) != "NONE" }

// Loopback is the address where only the proxy's own workload reaches it.
func (v *View) Loopback() netip.Addr { return v.r.Ask(loopback{}).(netip.Addr) }

// OwnAddresses are the addresses of the proxy's workload, as the proxy says. No two proxies answer alike: ask only where nothing is captured.
func (v *View) OwnAddresses() []netip.Addr {
	var out []netip.Addr
	for text := range strings.SplitSeq(v.r.Ask(addressesOf{}).(string), ",") {
		if ip, err := netip.ParseAddr(text); err == nil {
			out = append(out, ip)
		}
	}
	return out
}

// Application is where the workload listens for what arrives at a port of it, where nothing is captured: a loopback address.
func (v *View) Application(port uint16) netip.AddrPort {
	return v.r.Ask(application{port}).(netip.AddrPort)
}

// Served lists the services of the proxy's workload with the ports that the workload listens on.
func (v *View) Served() []mesh.WorkloadService {
	var out []mesh.WorkloadService
	for line := range strings.Lines(v.r.Ask(served{}).(string)) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		ws := mesh.WorkloadService{Service: mesh.ServiceID{Namespace: mesh.Namespace(fields[0]), Host: mesh.Host(fields[1])}, Ports: map[string]uint16{}}
		for _, f := range fields[2:] {
			i := strings.LastIndexByte(f, '=')
			n, _ := strconv.ParseUint(f[i+1:], 10, 16)
			ws.Ports[f[:i]] = uint16(n)
		}
		out = append(out, ws)
	}
	return out
}

// ProxyConfig is how the proxy treats connections and headers: what it says itself, else what the mesh says.
func (v *View) ProxyConfig() mesh.ProxyConfig {
	if own := v.r.Ask(configOf{}).(ownConfig); own.said {
		return own.config
	}
	return v.Settings().Proxy
}
