package snapshot

import (
	"cmp"
	"reflect"
	"slices"

	corev1 "k8s.io/api/core/v1"
	ingressv1 "k8s.io/api/networking/v1"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/registry"
	"github.com/heddle-mesh/heddle/control/registry/kube"
	"github.com/heddle-mesh/heddle/control/translate"
	"github.com/heddle-mesh/heddle/control/translate/condition"
	"github.com/heddle-mesh/heddle/control/translate/istio"
	"github.com/heddle-mesh/heddle/mesh"
)

// nouns is what one object means: at most a few of these are set.
type nouns struct {
	definition *registry.Definition
	slice      *registry.Slice
	instance   *registry.Instance
	locality   mesh.Locality
	route      *mesh.Route
	traffic    *mesh.Traffic
	gateway    *mesh.Gateway
	more       []*mesh.Route // of an Ingress, one for each host
	sidecar    *mesh.SidecarScope
	backendTLS []*mesh.BackendTLS
	authn      *mesh.PeerAuthn
	authz      *mesh.Authorization
	filter     *mesh.EnvoyFilter
	telemetry  *mesh.Telemetry
	denials    []*mesh.Denial
	secret     *mesh.Secret
}

// phase orders translation: an object comes after those that its translation asks about.
func phase(ref mesh.Ref) int {
	switch ref.Group {
	case api.GroupCore, api.GroupDiscovery:
		return 0
	}
	switch ref.Kind {
	case "ServiceEntry", "WorkloadEntry":
		return 1
	case "Gateway", "DestinationRule", "ListenerSet":
		return 2
	case "VirtualService", "HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute", "UDPRoute", "Sidecar":
		return lastPhase
	}
	return 3
}

const lastPhase = 4

// core gives the meaning of a core object of Kubernetes.
func (b *Builder) core(o api.Object, in translate.Lookup) (n nouns, problems []mesh.Problem, status *condition.Status) {
	switch o.Spec.(type) {
	case *corev1.Pod:
		_, n.instance = kube.Pod(o, b.opts.Cluster)
	case *corev1.Node:
		n.locality = kube.Node(o)
	case *corev1.Service:
		n.definition, problems = kube.Service(o, b.serviceDefaults(mesh.Namespace(o.Meta.Namespace), in))
	case *corev1.Secret:
		n.secret = credential(o)
	case *ingressv1.IngressSpec:
		n.gateway, n.more, status, problems = istio.Ingress(o, in)
	case *ingressv1.IngressClassSpec:
	default:
		n.slice = kube.EndpointSlice(o, b.now.Settings.ClusterDomain)
	}
	if o.Kind.Conditioned() {
		problems = append(problems, translate.Marks(o, b.now.Settings)...)
	}
	return n, problems, status
}

func (b *Builder) serviceDefaults(ns mesh.Namespace, in translate.Lookup) kube.Defaults {
	s := b.now.Settings
	return kube.Defaults{Domain: s.ClusterDomain, TrustDomain: s.TrustDomain, Seen: s.Exports.Services, Near: istio.Distribution(ns, in)}
}

// take reads a translation's result.
func (b *Builder) take(o api.Object, r translate.Result) nouns {
	n := nouns{route: r.Route, traffic: r.Traffic, gateway: r.Gateway, sidecar: r.Sidecar, authn: r.PeerAuthn, authz: r.Authorization, filter: r.Filter, telemetry: r.Telemetry, denials: r.Denials, backendTLS: r.BackendTLS}
	if r.Entry != nil {
		n.definition = b.entry(o, r.Entry)
	}
	if r.Endpoint != nil {
		n.instance = b.workloadEntry(o, r.Workload, r.Endpoint)
	}
	return n
}

// entry completes what a ServiceEntry defines.
func (b *Builder) entry(o api.Object, e *istio.Entry) *registry.Definition {
	d := &registry.Definition{Origin: o.Ref(), Services: e.Services, Selector: e.Selector, Written: e.Written}
	for _, ep := range e.Endpoints {
		d.Endpoints = append(d.Endpoints, b.placed(ep))
	}
	return d
}

// placed leaves the defaults of cluster and network to the registry, which knows heddled's own.
func (b *Builder) placed(ep *mesh.Endpoint) *mesh.Endpoint {
	out := *ep
	out.Cluster = ""
	if out.Network == mesh.DefaultNetwork {
		out.Network = ""
	}
	out.CanonicalService = cmp.Or(out.CanonicalService, out.Labels["app.kubernetes.io/name"], out.App, out.WorkloadName)
	out.CanonicalRevision = cmp.Or(out.CanonicalRevision, out.Labels["app.kubernetes.io/version"], out.Version, "latest")
	return &out
}

// Marks of a WorkloadEntry, as labels or annotations.
const (
	markProxied = "heddle.dev/proxied" // "true": the workload has a proxy, and is healthy only while that proxy's stream lives
	markReady   = "heddle.dev/ready"   // "false": the workload takes no traffic
	// markRegistered names the group of an entry that its proxy registered.
	markRegistered = "istio.io/autoRegistrationGroup"
)

func (b *Builder) workloadEntry(o api.Object, w *mesh.Workload, ep *mesh.Endpoint) *registry.Instance {
	marked := func(key, value string) bool { return ep.Labels[key] == value || o.Meta.Annotations[key] == value }
	in := &registry.Instance{
		ID: mesh.WorkloadID{Cluster: b.opts.Cluster, Namespace: w.ID.Namespace, Kind: registry.KindWorkloadEntry, Name: w.ID.Name}, Origin: o.Ref(), Created: o.Meta.Created,
		Address: ep.Address, Addresses: w.Addresses, Ports: ep.Ports, Labels: ep.Labels, ServiceAccount: w.ServiceAccount, Locality: ep.Locality, Weight: ep.Weight,
		Name: cmp.Or(o.Meta.Annotations[markRegistered], ep.WorkloadName, o.Meta.Name), MTLS: ep.MTLS, Tunnel: ep.Tunnel,
		Proxied: marked(markProxied, "true"), NotReady: marked(markReady, "false"), Failing: o.Probed() == api.HealthBad,
	}
	if ep.Network != mesh.DefaultNetwork {
		in.Network = ep.Network
	}
	if _, said := ep.Labels["security.istio.io/tlsMode"]; !said && (in.Proxied || o.Meta.Annotations[markRegistered] != "") {
		in.MTLS = true // its proxy is ours
	}
	return in
}

// credential reads a Secret that a gateway may name: Kubernetes' TLS keys, or Istio's generic ones. Other Secrets give nil.
func credential(o api.Object) *mesh.Secret {
	s := o.Spec.(*corev1.Secret)
	field := func(names ...string) []byte {
		for _, n := range names {
			if v, ok := s.Data[n]; ok {
				return v
			}
			if v, ok := s.StringData[n]; ok { // in a folder nobody has moved it into data
				return []byte(v)
			}
		}
		return nil
	}
	out := &mesh.Secret{ID: mesh.SecretID{Namespace: mesh.Namespace(o.Meta.Namespace), Name: o.Meta.Name},
		Certificate: field(corev1.TLSCertKey, "cert"), Key: field(corev1.TLSPrivateKeyKey, "key"), CA: field("ca.crt", "cacert"), CRL: field("ca.crl", "crl")}
	if (out.Certificate == nil || out.Key == nil) && out.CA == nil {
		return nil
	}
	return out
}

// keep gives the old noun when the new one says the same, so that nothing that was made from it is made again.
func keep[T any](old, new *T) *T {
	if old != nil && new != nil && reflect.DeepEqual(old, new) {
		return old
	}
	return new
}

// keepAll does the same for each of several nouns; two of them may say the same, so the one at the same place comes first.
func keepAll[T any](old, new []*T) {
	for i, n := range new {
		says := func(o *T) bool { return reflect.DeepEqual(o, n) }
		if i < len(old) && says(old[i]) {
			new[i] = old[i]
		} else if at := slices.IndexFunc(old, says); at >= 0 {
			new[i] = old[at]
		}
	}
}
