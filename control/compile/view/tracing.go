package view

import (
	"cmp"
	"net"
	"slices"
	"strconv"

	"github.com/heddle-mesh/heddle/mesh"
)

// Tracing is how the proxy traces requests of one side of the traffic.
type Tracing struct {
	*mesh.Provider
	Sampling  float64 // percent of the requests that nobody has decided on
	Tags      []mesh.TraceTag
	MaxPath   uint32 // 0: Envoy's 256
	RequestID bool   // its request id says whether a request is traced
	IstioTags bool
	NoContext bool // the next hops are not told
	Origin    mesh.Ref
	Field     string // of Origin, which names the provider
}

// usualSampling is Istio's: one request of a hundred.
const usualSampling = 1.0

// Tracing is how the requests of a side are traced; nil for not at all. Each object changes what it speaks of (Istio's rules).
func (v *View) Tracing(side mesh.Side) *Tracing {
	s, own := v.Settings(), v.ProxyConfig().Tracing
	t := &Tracing{RequestID: true, IstioTags: true, Sampling: cmp.Or(own.Sampling, usualSampling), MaxPath: own.MaxPath}
	said, disabled := len(s.Defaults.Tracing) > 0, false
	if said {
		t.Provider = s.Provider(s.Defaults.Tracing[0])
	}
	for _, o := range v.telemetries() {
		for i := range o.Tracing {
			r := &o.Tracing[i]
			said = true
			if !r.Side.Covers(side) {
				continue
			}
			v.From(o.Origin)
			if r.Provider != "" {
				t.Provider, t.Origin, t.Field = s.Provider(r.Provider), o.Origin, at("spec.tracing", i)+".providers[0]"
			}
			disabled, t.RequestID, t.IstioTags, t.NoContext = r.Disabled.Or(disabled), r.RequestID.Or(t.RequestID), r.IstioTags.Or(t.IstioTags), r.NoContext.Or(t.NoContext)
			if len(r.Tags) > 0 {
				t.Tags = r.Tags
			}
			if r.Sampling != nil {
				t.Sampling = *r.Sampling
			}
		}
	}
	if !said {
		if !s.EnableTracing || own.Zipkin == "" {
			return nil
		}
		t.Provider, t.IstioTags = v.zipkinAt(own.Zipkin), own.IstioTags.Or(true)
	}
	if disabled || t.Provider == nil || t.Traces == nil {
		return nil
	}
	if len(t.Tags) == 0 {
		t.Tags = own.Tags.List()
	}
	t.MaxPath = cmp.Or(t.Traces.MaxPath, t.MaxPath)
	return t
}

// zipkinAt is the provider that a ProxyConfig names by its address.
func (v *View) zipkinAt(address string) *mesh.Provider {
	host, port, err := net.SplitHostPort(address)
	n, ok := ParsePort(port)
	if err != nil || !ok {
		return nil
	}
	return &mesh.Provider{Name: address, Traces: &mesh.TraceSink{At: mesh.ServiceAt{Host: v.FullHost(mesh.Host(host)), Port: n}, Zipkin: true, Path: "/api/v2/spans"}}
}

// Reporting is the cluster of a service that the proxy reports to; "" where there is no such service, or the proxy does not know it, which its owner is told.
func (v *View) Reporting(at mesh.ServiceAt, field string) string {
	ids, _ := read(v, mesh.OfHosts, v.s.Hosts, at.Host)
	why := ""
	s, known := v.Resolve(at.Host)
	switch {
	case len(ids) == 0:
		why = "there is no service " + strconv.Quote(string(at.Host))
	case at.Namespace != "" && !slices.ContainsFunc(ids, func(id mesh.ServiceID) bool { return id.Namespace == at.Namespace }):
		why = "there is no service " + strconv.Quote(string(at.Host)) + " in namespace " + strconv.Quote(string(at.Namespace))
	case !known:
		why = "the service " + string(at.Host) + " is not exported to the namespaces of some proxies"
	default:
		if p, ok := s.Port(at.Port); ok && p.Protocol != mesh.UDP {
			return ClusterName(at.Port, "", s.ID.Host)
		}
		why = "the service " + string(at.Host) + " has no port " + strconv.Itoa(int(at.Port))
	}
	v.Notice(mesh.Problem{
		Object: mesh.Ref{Kind: "MeshConfig", Name: field}, Field: field, Code: mesh.CodeNotFound, Message: why + ", so nothing is sent there", Hint: "write the whole name of a service, and export it",
	})
	return ""
}

// Self is what a proxy says of its workload in spans.
type Self struct{ Service, Canonical, Revision, Mesh, Namespace, Cluster string }

type selfOf struct{}

// Answer is the same for like workloads.
func (selfOf) Answer(s *Source, p *mesh.Proxy) any {
	name := cmp.Or(p.Labels["service.istio.io/canonical-name"], p.Labels["app.kubernetes.io/name"], p.Labels["app"], "unknown")
	service := cmp.Or(p.Labels["app"], name)
	if service == "unknown" {
		service = p.Name
	}
	return Self{
		Service: service + "." + string(p.Namespace), Canonical: name,
		Revision: cmp.Or(p.Labels["service.istio.io/canonical-revision"], p.Labels["app.kubernetes.io/version"], p.Labels["version"], "latest"),
		Mesh:     cmp.Or(p.Metadata["MESH_ID"], string(s.Settings.MeshID), s.Settings.TrustDomain), Namespace: string(p.Namespace), Cluster: cmp.Or(string(p.Cluster), string(mesh.DefaultCluster)),
	}
}

// Grounds are the settings.
func (selfOf) Grounds(*Source, *mesh.Proxy) []mesh.Key { return []mesh.Key{{Noun: mesh.OfSettings}} }

// Self is what the proxy says of its workload in spans.
func (v *View) Self() Self { return v.r.Ask(selfOf{}).(Self) }
