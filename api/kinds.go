package api

import (
	"reflect"
	"slices"

	extensions "istio.io/api/extensions/v1alpha1"
	networking "istio.io/api/networking/v1alpha3"
	networkingbeta "istio.io/api/networking/v1beta1"
	security "istio.io/api/security/v1beta1"
	telemetry "istio.io/api/telemetry/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	ingressv1 "k8s.io/api/networking/v1"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// The API groups of the kinds.
const (
	GroupNetworking = "networking.istio.io"
	GroupSecurity   = "security.istio.io"
	GroupTelemetry  = "telemetry.istio.io"
	GroupExtensions = "extensions.istio.io"
	GroupGateway    = "gateway.networking.k8s.io"
	GroupCore       = ""
	GroupDiscovery  = "discovery.k8s.io"
	GroupIngress    = "networking.k8s.io"
)

// Kind is one row of the table of kinds.
type Kind struct {
	Group, Version, Kind, Plural string   // Version is the one to watch: served by every release that has the kind, and the storage version where it has one
	Versions                     []string // every version with the same schema that is accepted, newest first
	Namespaced                   bool
	Security                     bool // an object that cannot be enforced makes its workloads deny
	Handled                      bool // control/translate or control/registry gives it a meaning; others are answered with one Problem
	whole                        bool // Spec is the whole object (core kinds), not its spec field
	spec                         reflect.Type
}

// Name is KIND.GROUP, or KIND for the core group.
func (k *Kind) Name() string {
	if k.Group == GroupCore {
		return k.Kind
	}
	return k.Kind + "." + k.Group
}

// Istio says whether the kind is in the Istio dialect.
func (k *Kind) Istio() bool {
	switch k.Group {
	case GroupNetworking, GroupSecurity, GroupTelemetry, GroupExtensions:
		return true
	}
	return false
}

// Gateway says whether the kind is in the Gateway API dialect.
func (k *Kind) Gateway() bool { return k.Group == GroupGateway }

// Conditioned says whether objects of the kind, one of Kubernetes' own, are answered with a condition in their status: those that users write for the mesh.
func (k *Kind) Conditioned() bool {
	return k.Group == GroupCore && (k.Kind == "Service" || k.Kind == "Namespace")
}

// APIVersion is GROUP/VERSION of the version to watch.
func (k *Kind) APIVersion() string {
	if k.Group == GroupCore {
		return k.Version
	}
	return k.Group + "/" + k.Version
}

// NewSpec makes an empty value of the type that Object.Spec has for the kind.
func (k *Kind) NewSpec() any { return reflect.New(k.spec).Interface() }

// Kinds are all kinds that Heddle reads: the 15 of Istio, those of the Gateway API's standard channel, and the core kinds.
var Kinds = []*Kind{
	istio(GroupNetworking, "VirtualService", "virtualservices", networking.VirtualService{}, handled),
	istio(GroupNetworking, "DestinationRule", "destinationrules", networking.DestinationRule{}, handled),
	istio(GroupNetworking, "Gateway", "gateways", networking.Gateway{}, handled),
	istio(GroupNetworking, "ServiceEntry", "serviceentries", networking.ServiceEntry{}, handled),
	istio(GroupNetworking, "WorkloadEntry", "workloadentries", networking.WorkloadEntry{}, handled),
	istio(GroupNetworking, "WorkloadGroup", "workloadgroups", networking.WorkloadGroup{}, handled),
	istio(GroupNetworking, "Sidecar", "sidecars", networking.Sidecar{}, handled),
	istio(GroupNetworking, "EnvoyFilter", "envoyfilters", networking.EnvoyFilter{}, handled, "v1alpha3"),
	istio(GroupNetworking, "ProxyConfig", "proxyconfigs", networkingbeta.ProxyConfig{}, handled, "v1beta1"),
	istio(GroupExtensions, "WasmPlugin", "wasmplugins", extensions.WasmPlugin{}, secure, "v1alpha1"),
	istio(GroupExtensions, "TrafficExtension", "trafficextensions", extensions.TrafficExtension{}, secure, "v1alpha1"),
	istio(GroupTelemetry, "Telemetry", "telemetries", telemetry.Telemetry{}, handled, "v1", "v1alpha1"),
	istio(GroupSecurity, "PeerAuthentication", "peerauthentications", security.PeerAuthentication{}, handled|secure, "v1", "v1beta1"),
	istio(GroupSecurity, "RequestAuthentication", "requestauthentications", security.RequestAuthentication{}, secure, "v1", "v1beta1"),
	istio(GroupSecurity, "AuthorizationPolicy", "authorizationpolicies", security.AuthorizationPolicy{}, handled|secure, "v1", "v1beta1"),

	gateway("GatewayClass", "gatewayclasses", gwv1.GatewayClassSpec{}, handled|cluster, "v1", "v1beta1"),
	gateway("Gateway", "gateways", gwv1.GatewaySpec{}, handled, "v1", "v1beta1"),
	gateway("HTTPRoute", "httproutes", gwv1.HTTPRouteSpec{}, handled, "v1", "v1beta1"),
	gateway("ReferenceGrant", "referencegrants", gwv1.ReferenceGrantSpec{}, handled, "v1beta1", "v1"),
	gateway("GRPCRoute", "grpcroutes", gwv1.GRPCRouteSpec{}, handled, "v1"),
	gateway("TLSRoute", "tlsroutes", gwv1.TLSRouteSpec{}, handled, "v1", "v1alpha3", "v1alpha2"),
	gateway("TCPRoute", "tcproutes", gwv1.TCPRouteSpec{}, handled, "v1", "v1alpha2"),
	gateway("UDPRoute", "udproutes", gwv1.UDPRouteSpec{}, handled, "v1", "v1alpha2"),
	gateway("ListenerSet", "listenersets", gwv1.ListenerSetSpec{}, handled, "v1"),
	gateway("BackendTLSPolicy", "backendtlspolicies", gwv1.BackendTLSPolicySpec{}, handled|secure, "v1", "v1alpha3"),

	row(GroupIngress, "Ingress", "ingresses", ingressv1.IngressSpec{}, handled, []string{"v1"}),
	row(GroupIngress, "IngressClass", "ingressclasses", ingressv1.IngressClassSpec{}, handled|cluster, []string{"v1"}),

	core("Service", "services", corev1.Service{}, 0),
	core("Pod", "pods", corev1.Pod{}, 0),
	core("Namespace", "namespaces", corev1.Namespace{}, cluster),
	core("Node", "nodes", corev1.Node{}, cluster),
	core("Secret", "secrets", corev1.Secret{}, 0),
	core("ConfigMap", "configmaps", corev1.ConfigMap{}, 0),
	core("ServiceAccount", "serviceaccounts", corev1.ServiceAccount{}, 0),
	endpointSlice(),
}

// Find gives the row of an API group and kind, or nil.
func Find(group, kind string) *Kind {
	for _, k := range Kinds {
		if k.Group == group && k.Kind == kind {
			return k
		}
	}
	return nil
}

// accepts says whether objects of the version may be read.
func (k *Kind) accepts(version string) bool { return slices.Contains(k.Versions, version) }

type trait uint8

const (
	handled trait = 1 << iota
	secure
	cluster
)

func row(group, kind, plural string, spec any, t trait, versions []string) *Kind {
	return &Kind{Group: group, Kind: kind, Plural: plural, Version: versions[0], Versions: versions, spec: reflect.TypeOf(spec),
		Namespaced: t&cluster == 0, Security: t&secure != 0, Handled: t&handled != 0}
}

func istio(group, kind, plural string, spec any, t trait, versions ...string) *Kind {
	if len(versions) == 0 {
		versions = []string{"v1", "v1beta1", "v1alpha3"}
	}
	return row(group, kind, plural, spec, t, versions)
}

func gateway(kind, plural string, spec any, t trait, versions ...string) *Kind {
	return row(GroupGateway, kind, plural, spec, t, versions)
}

func core(kind, plural string, spec any, t trait) *Kind {
	k := row(GroupCore, kind, plural, spec, t|handled, []string{"v1"})
	k.whole = true
	return k
}

func endpointSlice() *Kind {
	k := row(GroupDiscovery, "EndpointSlice", "endpointslices", discoveryv1.EndpointSlice{}, handled, []string{"v1"})
	k.whole = true
	return k
}
