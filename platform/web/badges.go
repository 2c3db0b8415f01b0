package web

import (
	"cmp"
	"maps"
	"net/http"
	"slices"

	"github.com/heddle-mesh/heddle/mesh"
)

// badge is one thing that configures a node of the graph, in Kiali's words.
type badge struct {
	Kind string `json:"kind"`
	// Objects say it, as KIND/NAMESPACE/NAME.
	Objects []string `json:"objects,omitempty"`
}

// The kinds of badges, in the order in which they are shown.
const (
	missingSidecar  = "missingSidecar"
	circuitBreaker  = "circuitBreaker"
	faultInjection  = "faultInjection"
	mirroring       = "mirroring"
	requestTimeout  = "requestTimeout"
	trafficShifting = "trafficShifting"
	tcpShifting     = "tcpTrafficShifting"
	requestRouting  = "requestRouting"
	virtualService  = "virtualService"
	gatewayBadge    = "gateway"
	workloadEntry   = "workloadEntry"
)

var badgeOrder = []string{missingSidecar, circuitBreaker, faultInjection, mirroring, requestTimeout, trafficShifting, tcpShifting, requestRouting, virtualService, gatewayBadge, workloadEntry}

// worn are the badges by node, as KIND:NAMESPACE/NAME without cluster and version.
type worn map[string]map[string]map[string]bool

func (w worn) put(node, kind string, origin mesh.Ref) {
	if w[node] == nil {
		w[node] = map[string]map[string]bool{}
	}
	if w[node][kind] == nil {
		w[node][kind] = map[string]bool{}
	}
	if origin.Name != "" {
		w[node][kind][origin.String()] = true
	}
}

func (w worn) lists() map[string][]badge {
	out := map[string][]badge{}
	for node, kinds := range w {
		for _, k := range badgeOrder {
			if objects, ok := kinds[k]; ok {
				out[node] = append(out[node], badge{k, slices.Sorted(maps.Keys(objects))})
			}
		}
	}
	return out
}

// badges finds what configures services, and with them the workloads and apps that serve them. proxied says whether a workload has a proxy.
func badges(now *mesh.Snapshot, proxied func(mesh.WorkloadID, *mesh.Workload) bool) map[string][]badge {
	w, of := worn{}, map[mesh.ServiceID]map[string][]mesh.Ref{}
	note := func(id mesh.ServiceID, kind string, origin mesh.Ref) {
		if of[id] == nil {
			of[id] = map[string][]mesh.Ref{}
		}
		of[id][kind] = append(of[id][kind], origin)
		w.put("service:"+string(id.Namespace)+"/"+shortName(now, id), kind, origin)
	}
	for _, r := range now.Routes.All() {
		for _, id := range routed(now, r) {
			for _, k := range routeKinds(r) {
				note(id, k, r.Origin)
			}
		}
	}
	for _, list := range now.Traffic.All() {
		for _, t := range list {
			if !breaks(t) {
				continue
			}
			for _, id := range hosted(now, t.Host) {
				note(id, circuitBreaker, t.Origin)
			}
		}
	}
	with, without := map[string]bool{}, map[string]bool{}
	for id, v := range now.Workloads.All() {
		nodes := []string{"workload:" + string(id.Namespace) + "/" + cmp.Or(v.Name, id.Name), "app:" + string(id.Namespace) + "/" + canonical(v.Labels, cmp.Or(v.Name, id.Name))}
		for _, node := range nodes {
			for _, s := range v.Services {
				for kind, origins := range of[s.Service] {
					for _, o := range origins {
						w.put(node, kind, o)
					}
				}
			}
			if id.Kind == "WorkloadEntry" {
				w.put(node, workloadEntry, v.Origin)
			}
			for _, g := range now.Gateways.All() {
				if len(g.Selector) > 0 && (g.Namespace == "" || g.Namespace == id.Namespace) && g.Selector.Selects(v.Labels) {
					w.put(node, gatewayBadge, g.Origin)
				}
			}
			if proxied(id, v) {
				with[node] = true
			} else {
				without[node] = true
			}
		}
	}
	for node := range without {
		if !with[node] {
			w.put(node, missingSidecar, mesh.Ref{})
		}
	}
	return w.lists()
}

// canonical is the app of a workload, by Istio's rule.
func canonical(l mesh.Labels, name string) string {
	return cmp.Or(l["service.istio.io/canonical-name"], l["app.kubernetes.io/name"], l["app"], name)
}

func shortName(now *mesh.Snapshot, id mesh.ServiceID) string {
	if s, ok := now.Services.Get(id); ok {
		return cmp.Or(s.ShortName, string(id.Host))
	}
	return string(id.Host)
}

// hosted are the services that a host, which may be a wildcard, stands for.
func hosted(now *mesh.Snapshot, h mesh.Host) []mesh.ServiceID {
	var out []mesh.ServiceID
	if !h.IsWildcard() {
		out, _ = now.Hosts.Get(h)
		return out
	}
	for id := range now.Services.All() {
		if h.Matches(id.Host) {
			out = append(out, id)
		}
	}
	return out
}

// routed are the services whose callers obey a route: those of its hosts, and where it is for gateways alone, those that it leads to.
func routed(now *mesh.Snapshot, r *mesh.Route) []mesh.ServiceID {
	seen := map[mesh.ServiceID]bool{}
	if r.Mesh {
		for _, h := range r.Hosts {
			for _, id := range hosted(now, h) {
				seen[id] = true
			}
		}
		for _, c := range r.Calls {
			for _, id := range hosted(now, c.Host) {
				seen[id] = true
			}
		}
	}
	if len(r.Gateways) > 0 {
		r.Backed(func(b *mesh.Backend) bool {
			if b.Service.Host != "" {
				seen[b.Service] = true
			}
			return false
		})
	}
	return slices.Collect(maps.Keys(seen))
}

// routeKinds are the badges of a route.
func routeKinds(r *mesh.Route) []string {
	out := []string{virtualService}
	shifts := func(list []mesh.Backend) bool {
		n := 0
		for _, b := range list {
			if b.Weight > 0 {
				n++
			}
		}
		return n > 1
	}
	for i := range r.HTTP {
		h := &r.HTTP[i]
		for kind, is := range map[string]bool{
			faultInjection: h.Fault != nil, mirroring: len(h.Mirrors) > 0, requestTimeout: h.Timeout != nil && *h.Timeout > 0,
			trafficShifting: shifts(h.Backends), requestRouting: len(h.Matches) > 0,
		} {
			if is {
				out = append(out, kind)
			}
		}
	}
	for _, t := range r.TCP {
		if shifts(t.Backends) {
			out = append(out, tcpShifting)
		}
	}
	for _, t := range r.TLS {
		if shifts(t.Backends) {
			out = append(out, tcpShifting)
		}
	}
	return out
}

// breaks says whether a rule bounds connections or ejects endpoints.
func breaks(t *mesh.Traffic) bool {
	one := func(p *mesh.TrafficPolicy) bool {
		if p.Pool != nil || p.Outlier != nil {
			return true
		}
		for _, port := range p.Ports {
			if port.Pool != nil || port.Outlier != nil {
				return true
			}
		}
		return false
	}
	return one(&t.Policy) || slices.ContainsFunc(t.Subsets, func(s mesh.Subset) bool { return one(&s.Policy) })
}

// proxied says of workloads whether a proxy speaks for them: here, or, where another replica serves it, by what the workload says itself.
func (s *site) proxied(now *mesh.Snapshot) func(mesh.WorkloadID, *mesh.Workload) bool {
	here, says := map[string]bool{}, map[mesh.WorkloadID]bool{}
	for _, p := range s.Mesh.Proxies() {
		here[p] = true
	}
	for _, set := range now.Endpoints.All() {
		for _, e := range set.Endpoints {
			if e.MTLS {
				says[e.Workload] = true
			}
		}
	}
	return func(id mesh.WorkloadID, w *mesh.Workload) bool {
		ns := "." + string(id.Namespace)
		return says[id] || here[id.Name+ns] || here[w.Name+ns]
	}
}

func (s *site) badges(rw http.ResponseWriter, _ *http.Request) {
	if now, ok := s.snapshot(rw); ok {
		answer(rw, http.StatusOK, badges(now, s.proxied(now)))
	}
}
