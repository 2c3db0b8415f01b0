// Package kube reads Kubernetes' core objects as definitions, slices, instances and nodes of the registry.
//
// In: decoded Services, EndpointSlices, Pods and Nodes. Out: what package registry joins, and Problems for what cannot be honoured. Pure; safe for concurrent use.
package kube

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/registry"
	"github.com/heddle-mesh/heddle/mesh"
)

// The labels and annotations that are read, besides those of package registry.
const (
	labelNetwork   = "topology.istio.io/network"
	labelSubzone   = "topology.istio.io/subzone"
	labelTLSMode   = "security.istio.io/tlsMode"
	labelLocality  = "istio-locality"
	labelHashOfRS  = "pod-template-hash"
	annExportTo    = "networking.istio.io/exportTo"
	registryName   = "Kubernetes"
	maxPortsNumber = 65535
)

// ServiceHost is the name of a Service in the mesh.
func ServiceHost(name, namespace, domain string) mesh.Host {
	return mesh.Host(name + "." + namespace + ".svc." + domain)
}

// Defaults are what the mesh says where a Service does not: its domains, who sees one, and which endpoints go first.
type Defaults struct {
	Domain, TrustDomain string
	Seen                mesh.Visibility
	Near                mesh.Nearness
}

// Service reads a Service. It gives nil for one that stands for nothing.
func Service(o api.Object, by Defaults) (*registry.Definition, []mesh.Problem) {
	svc, ok := o.Spec.(*corev1.Service)
	if !ok {
		return nil, nil
	}
	spec := &svc.Spec
	if spec.Type == corev1.ServiceTypeExternalName {
		return alias(o, spec, by)
	}
	ns := mesh.Namespace(o.Meta.Namespace)
	s := &mesh.Service{
		ID: mesh.ServiceID{Namespace: ns, Host: ServiceHost(o.Meta.Name, o.Meta.Namespace, by.Domain)}, Created: o.Meta.Created,
		Headless: spec.ClusterIP == corev1.ClusterIPNone, NodeLocal: spec.InternalTrafficPolicy != nil && *spec.InternalTrafficPolicy == corev1.ServiceInternalTrafficPolicyLocal, Resolution: mesh.Static, Selector: spec.Selector, Labels: o.Meta.Labels,
		ShortName: o.Meta.Name, Registry: registryName, Origin: o.Ref(), SubjectAltNames: accounts(o, by.TrustDomain),
	}
	d := &registry.Definition{Origin: o.Ref(), Services: []*mesh.Service{s}, Selector: spec.Selector, Targets: map[string]registry.Target{}, Slices: true, Unready: spec.PublishNotReadyAddresses}
	problems := unhonoured(o, spec)
	var more []mesh.Problem
	s.ExportTo, more = exportTo(o, by.Seen)
	problems = append(problems, more...)
	s.Near, more = distribution(o, deref(spec.TrafficDistribution), by.Near)
	problems = append(problems, more...)
	for i, p := range spec.Ports {
		if p.Port < 1 || p.Port > maxPortsNumber {
			problems = append(problems, mesh.Problem{Object: o.Ref(), Field: fmt.Sprintf("spec.ports[%d].port", i), Code: mesh.CodeInvalid, Message: fmt.Sprintf("%d is not a port", p.Port), Hint: "write a number from 1 to 65535"})
			continue
		}
		t := target(p)
		d.Targets[p.Name] = t
		s.Ports = append(s.Ports, mesh.Port{Name: p.Name, Number: uint16(p.Port), TargetPort: t.Number,
			Protocol: mesh.SelectProtocol(uint16(p.Port), string(p.Protocol), p.Name, appProtocol(p))})
	}
	slices.SortStableFunc(s.Ports, func(a, b mesh.Port) int { return cmp.Compare(a.Number, b.Number) })
	if !s.Headless {
		s.Addresses, more = addresses(o, spec)
		problems = append(problems, more...)
	}
	return d, problems
}

// alias is a Service that is only another name of a host. As in Istio its ports mean nothing; where the host is no service of the mesh either, neither does the Service.
func alias(o api.Object, spec *corev1.ServiceSpec, by Defaults) (*registry.Definition, []mesh.Problem) {
	to, err := mesh.ParseHost(spec.ExternalName)
	if err != nil || to.IsWildcard() {
		return nil, []mesh.Problem{{Object: o.Ref(), Field: "spec.externalName", Code: mesh.CodeInvalid, Message: fmt.Sprintf("%q is not a host", spec.ExternalName), Hint: "write the host that the Service stands for"}}
	}
	s := &mesh.Service{
		ID: mesh.ServiceID{Namespace: mesh.Namespace(o.Meta.Namespace), Host: ServiceHost(o.Meta.Name, o.Meta.Namespace, by.Domain)}, Created: o.Meta.Created, Alias: to,
		Labels: o.Meta.Labels, ShortName: o.Meta.Name, Registry: registryName, Origin: o.Ref(),
	}
	var problems []mesh.Problem
	s.ExportTo, problems = exportTo(o, by.Seen)
	return &registry.Definition{Origin: o.Ref(), Services: []*mesh.Service{s}, Slices: true}, problems
}

// Annotations with who else may answer for a Service besides the accounts of its endpoints, with commas between: identities as they are, and accounts of its namespace.
const (
	annIdentities = "alpha.istio.io/canonical-serviceaccounts"
	annAccounts   = "alpha.istio.io/kubernetes-serviceaccounts"
)

func accounts(o api.Object, trustDomain string) (out []string) {
	words := func(key string) (list []string) {
		for word := range strings.SplitSeq(o.Meta.Annotations[key], ",") {
			if word = strings.TrimSpace(word); word != "" {
				list = append(list, word)
			}
		}
		return list
	}
	out = words(annIdentities)
	for _, account := range words(annAccounts) {
		out = append(out, "spiffe://"+trustDomain+"/ns/"+o.Meta.Namespace+"/sa/"+account)
	}
	return out
}

func appProtocol(p corev1.ServicePort) string {
	if p.AppProtocol == nil {
		return ""
	}
	return *p.AppProtocol
}

func target(p corev1.ServicePort) registry.Target {
	if p.TargetPort.Type == intstr.String {
		return registry.Target{Name: p.TargetPort.StrVal}
	}
	if n := p.TargetPort.IntVal; n > 0 && n <= maxPortsNumber {
		return registry.Target{Number: uint16(n)}
	}
	return registry.Target{}
}

func addresses(o api.Object, spec *corev1.ServiceSpec) ([]netip.Addr, []mesh.Problem) {
	given := spec.ClusterIPs
	if len(given) == 0 && spec.ClusterIP != "" {
		given = []string{spec.ClusterIP}
	}
	var out []netip.Addr
	for i, text := range given {
		ip, err := netip.ParseAddr(text)
		if err != nil {
			return nil, []mesh.Problem{{Object: o.Ref(), Field: fmt.Sprintf("spec.clusterIPs[%d]", i), Code: mesh.CodeInvalid, Message: fmt.Sprintf("%q is not an IP address", text), Hint: "leave the field out and an address is given"}}
		}
		out = append(out, ip.Unmap())
	}
	return out, nil
}

// exportTo reads the annotation networking.istio.io/exportTo: names of namespaces, ".", "*" or "~", with commas between.
func exportTo(o api.Object, seen mesh.Visibility) (mesh.Visibility, []mesh.Problem) {
	text, ok := o.Meta.Annotations[annExportTo]
	if !ok {
		return seen, nil
	}
	var v mesh.Visibility
	for _, word := range strings.Split(text, ",") {
		switch word = strings.TrimSpace(word); word {
		case "*":
			return mesh.Visibility{}, nil
		case ".":
			v.Private = true
		case "~":
			v.Nobody = true
		case "":
			return mesh.Visibility{Private: true}, []mesh.Problem{{Object: o.Ref(), Field: "metadata.annotations[" + annExportTo + "]", Code: mesh.CodeInvalid,
				Message: "the list has an empty name, so the service is seen from its own namespace only", Hint: `write namespaces with commas between, or "*", "." or "~"`}}
		default:
			v.Namespaces = append(v.Namespaces, mesh.Namespace(word))
		}
	}
	slices.Sort(v.Namespaces)
	return v, nil
}

// annDistribution is the same as Service.spec.trafficDistribution, which goes before it.
const annDistribution = "networking.istio.io/traffic-distribution"

// distribution reads the field, or the annotation where there is none; without either it is that of the namespace.
func distribution(o api.Object, field string, of mesh.Nearness) (mesh.Nearness, []mesh.Problem) {
	if field != "" {
		near, known := mesh.ParseNearness(field)
		if !known { // a later one: Kubernetes takes it for a wish to stay near
			near = mesh.NearZone
		}
		return near, nil
	}
	text, ok := o.Meta.Annotations[annDistribution]
	if !ok {
		return of, nil
	}
	near, known := mesh.ParseNearness(text)
	if !known {
		return near, []mesh.Problem{{Object: o.Ref(), Field: "metadata.annotations[" + annDistribution + "]", Code: mesh.CodeInvalid,
			Message: fmt.Sprintf("%q is none of the distributions, so endpoints everywhere are alike", text), Hint: "write PreferClose, PreferSameZone or PreferSameNode"}}
	}
	return near, nil
}

// EndpointSlice reads an EndpointSlice; nil when it belongs to no Service or holds no IP addresses.
func EndpointSlice(o api.Object, domain string) *registry.Slice {
	es, ok := o.Spec.(*discoveryv1.EndpointSlice)
	name := o.Meta.Labels[discoveryv1.LabelServiceName]
	if !ok || name == "" || es.AddressType == discoveryv1.AddressTypeFQDN {
		return nil
	}
	s := &registry.Slice{Service: mesh.ServiceID{Namespace: mesh.Namespace(o.Meta.Namespace), Host: ServiceHost(name, o.Meta.Namespace, domain)}, Ports: map[string]uint16{}}
	for _, p := range es.Ports {
		if p.Port != nil && *p.Port > 0 && *p.Port <= maxPortsNumber {
			s.Ports[deref(p.Name)] = uint16(*p.Port)
		}
	}
	for i := range es.Endpoints {
		if e, ok := sliceEndpoint(&es.Endpoints[i]); ok {
			s.Endpoints = append(s.Endpoints, e)
		}
	}
	return s
}

// sliceEndpoint leaves out what takes no traffic any more; one that is not ready yet stays, as unhealthy.
func sliceEndpoint(e *discoveryv1.Endpoint) (registry.SliceEndpoint, bool) {
	out := registry.SliceEndpoint{Hostname: deref(e.Hostname), Zone: deref(e.Zone), Node: deref(e.NodeName)}
	c := e.Conditions
	ready, serving, terminating := c.Ready == nil || *c.Ready, c.Serving == nil || *c.Serving, c.Terminating != nil && *c.Terminating
	switch {
	case c.Ready != nil && *c.Ready: // also of one that ends, if the Service publishes addresses that are not ready
	case terminating && serving:
		out.Health = mesh.Draining
	case terminating:
		return out, false
	case !ready:
		out.Health = mesh.Unhealthy
	}
	if e.TargetRef != nil && e.TargetRef.Kind == registry.KindPod {
		out.Pod = e.TargetRef.Name
	}
	for _, a := range e.Addresses {
		if ip, err := netip.ParseAddr(a); err == nil {
			out.Addresses = append(out.Addresses, ip.Unmap())
		}
	}
	return out, len(out.Addresses) > 0
}

func deref[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// Pod reads a Pod; nil while it has no address, or when it has ended.
func Pod(o api.Object, cluster mesh.ClusterID) (mesh.WorkloadID, *registry.Instance) {
	id := mesh.WorkloadID{Cluster: cluster, Namespace: mesh.Namespace(o.Meta.Namespace), Kind: registry.KindPod, Name: o.Meta.Name}
	pod, ok := o.Spec.(*corev1.Pod)
	if !ok || pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
		return id, nil
	}
	in := &registry.Instance{
		ID: id, Origin: o.Ref(), Created: o.Meta.Created, Ports: map[string]uint16{}, Labels: o.Meta.Labels,
		ServiceAccount: cmp.Or(pod.Spec.ServiceAccountName, "default"), Network: mesh.NetworkID(o.Meta.Labels[labelNetwork]), Node: pod.Spec.NodeName,
		Name: controller(o, pod), Locality: podLocality(o.Meta.Labels[labelLocality]),
	}
	in.MTLS = o.Meta.Labels[labelTLSMode] == "istio" // injected sidecars have it, injected gateways have not
	for _, ip := range pod.Status.PodIPs {
		if a, err := netip.ParseAddr(ip.IP); err == nil {
			in.Addresses = append(in.Addresses, a.Unmap())
		}
	}
	if a, err := netip.ParseAddr(pod.Status.PodIP); err == nil && !slices.Contains(in.Addresses, a.Unmap()) {
		in.Addresses = append([]netip.Addr{a.Unmap()}, in.Addresses...)
	}
	if len(in.Addresses) == 0 {
		return id, nil
	}
	in.Address = mesh.IPAddress(in.Addresses[0])
	containers := slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) // native sidecars are among the first
	for _, c := range containers {
		for _, p := range c.Ports {
			if p.Name != "" && p.ContainerPort > 0 && p.ContainerPort <= maxPortsNumber {
				in.Ports[p.Name] = uint16(p.ContainerPort)
			}
		}
	}
	return id, in
}

// podLocality reads the label istio-locality, in which dots stand for slashes because a label has none.
func podLocality(text string) mesh.Locality {
	if text == "" {
		return mesh.Locality{}
	}
	if !strings.Contains(text, "/") {
		text = strings.ReplaceAll(text, ".", "/")
	}
	return ParseLocality(text)
}

// ParseLocality reads REGION/ZONE/SUBZONE, of which the end may be missing.
func ParseLocality(text string) mesh.Locality {
	p := strings.SplitN(text, "/", 3)
	l := mesh.Locality{Region: p[0]}
	if len(p) > 1 {
		l.Zone = p[1]
	}
	if len(p) > 2 {
		l.Subzone = p[2]
	}
	return l
}

// controller is the name that telemetry calls the workload: the owner's, with the hash that a Deployment adds to its ReplicaSet cut off.
func controller(o api.Object, pod *corev1.Pod) string {
	for _, r := range pod.OwnerReferences {
		if r.Controller == nil || !*r.Controller {
			continue
		}
		if hash := o.Meta.Labels[labelHashOfRS]; r.Kind == "ReplicaSet" && hash != "" {
			return strings.TrimSuffix(r.Name, "-"+hash)
		}
		return r.Name
	}
	return o.Meta.Name
}

// Node reads the locality of a node.
func Node(o api.Object) mesh.Locality {
	return mesh.Locality{Region: o.Meta.Labels[corev1.LabelTopologyRegion], Zone: o.Meta.Labels[corev1.LabelTopologyZone], Subzone: o.Meta.Labels[labelSubzone]}
}
