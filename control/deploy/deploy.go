// Package deploy renders what serves a Gateway of the Gateway API that names no workloads of its own: a ServiceAccount, a Deployment and a Service, and as its parameters ask a HorizontalPodAutoscaler and a
// PodDisruptionBudget.
//
// In: the gateway as written, and its listeners as translated. Out: objects for server-side apply. The pods are made proxies by injection. Everything is a pure function.
package deploy

import (
	"cmp"
	"maps"
	"slices"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/mesh"
)

// Labels and annotations; their names are the Gateway API's (GEP-1762) and Istio's.
const (
	GatewayLabel  = "gateway.networking.k8s.io/gateway-name"
	ClassLabel    = "gateway.networking.k8s.io/gateway-class-name"
	ManagedLabel  = "gateway.istio.io/managed"
	ManagedBy     = "heddle.dev-gateway-controller"
	RevisionLabel = "heddle.dev/revision"              // the control plane that made it
	ServiceType   = "networking.istio.io/service-type" // annotation of the Gateway: ClusterIP, NodePort or LoadBalancer
)

const readyPort = 15021

// Gateway is what is deployed for.
type Gateway struct {
	Object   api.Object // a Gateway of the Gateway API
	Listens  *mesh.Gateway
	Revision string                  // of the control plane whose injection makes the pods proxies
	Families string                  // ipFamilyPolicy of the Service; "" leaves it to the cluster
	Owners   []metav1.OwnerReference // with which the cluster removes the objects: Owner, where the Gateway is in the same API
}

// Owner is the reference to a Gateway.
func Owner(o api.Object) metav1.OwnerReference {
	return metav1.OwnerReference{APIVersion: "gateway.networking.k8s.io/v1", Kind: "Gateway", Name: o.Meta.Name, UID: types.UID(o.Meta.UID)}
}

// Wanted says whether a gateway is served by what this package renders: one that names no address is.
func Wanted(g *mesh.Gateway) bool {
	return g.ID.Dialect == mesh.GatewayAPI && len(g.Servers) > 0 && g.Selector[GatewayLabel] == g.ID.Name && len(g.Selector) == 1
}

// Name is that of all the objects, NAME-CLASS, and shorter than a label may be.
func Name(gateway, class string) string {
	name := gateway + "-" + class
	if len(name) > 63 {
		name = name[:54] + "-" + short(name)
	}
	return name
}

// Names are those that objects made for a gateway have.
func Names(o api.Object, g *mesh.Gateway) []string {
	spec, ok := o.Spec.(*gwv1.GatewaySpec)
	if !ok {
		return nil
	}
	usual := Name(o.Meta.Name, string(spec.GatewayClassName))
	return []string{cmp.Or(g.WorkloadName, usual), cmp.Or(g.Account, usual)}
}

// Kinds are those of the objects.
var Kinds = []schema.GroupVersionKind{
	{Version: "v1", Kind: "ServiceAccount"}, {Group: "apps", Version: "v1", Kind: "Deployment"}, {Version: "v1", Kind: "Service"},
	{Group: "autoscaling", Version: "v2", Kind: "HorizontalPodAutoscaler"}, {Group: "policy", Version: "v1", Kind: "PodDisruptionBudget"},
}

// Objects renders them in the order in which they are applied. An error names an overlay that does not fit, without which the object is rendered.
func Objects(g Gateway) ([]*unstructured.Unstructured, error) {
	spec, ok := g.Object.Spec.(*gwv1.GatewaySpec)
	if !ok {
		return nil, nil
	}
	d := deployment{g: g, spec: spec, name: cmp.Or(g.Listens.WorkloadName, Name(g.Object.Meta.Name, string(spec.GatewayClassName))), labels: map[string]any{}, annotations: map[string]any{}}
	if i := spec.Infrastructure; i != nil {
		for k, v := range i.Labels {
			d.labels[string(k)] = string(v)
		}
		for k, v := range i.Annotations {
			d.annotations[string(k)] = string(v)
		}
	}
	d.labels[GatewayLabel], d.labels[ClassLabel], d.labels[ManagedLabel] = g.Object.Meta.Name, string(spec.GatewayClassName), ManagedBy
	d.labels[RevisionLabel] = cmp.Or(g.Revision, "default")
	return d.overlaid()
}

type deployment struct {
	g                   Gateway
	spec                *gwv1.GatewaySpec
	name                string
	labels, annotations map[string]any
}

func (d *deployment) object(apiVersion, kind string, rest map[string]any) *unstructured.Unstructured {
	meta := map[string]any{"name": d.name, "namespace": d.g.Object.Meta.Namespace, "labels": maps.Clone(d.labels), "annotations": maps.Clone(d.annotations)}
	var owners []any
	for _, o := range d.g.Owners {
		owners = append(owners, map[string]any{"apiVersion": o.APIVersion, "kind": o.Kind, "name": o.Name, "uid": string(o.UID)})
	}
	if owners != nil {
		meta["ownerReferences"] = owners
	}
	out := map[string]any{"apiVersion": apiVersion, "kind": kind, "metadata": meta}
	maps.Copy(out, rest)
	return &unstructured.Unstructured{Object: out}
}

func (d *deployment) accountName() string {
	return cmp.Or(d.g.Listens.Account, Name(d.g.Object.Meta.Name, string(d.spec.GatewayClassName)))
}

func (d *deployment) account() *unstructured.Unstructured {
	u := d.object("v1", "ServiceAccount", nil)
	u.SetName(d.accountName())
	return u
}

func (d *deployment) selector() map[string]any {
	return map[string]any{GatewayLabel: d.labels[GatewayLabel]}
}

func (d *deployment) deployment() *unstructured.Unstructured {
	labels, annotations := maps.Clone(d.labels), maps.Clone(d.annotations)
	delete(labels, ManagedLabel)
	delete(labels, RevisionLabel)
	labels["sidecar.istio.io/inject"] = "true"
	if rev := cmp.Or(d.g.Revision, "default"); rev != "default" {
		labels["istio.io/rev"] = rev
	}
	annotations["inject.istio.io/templates"] = "gateway"
	// No replicas: whoever scales the Deployment goes before.
	return d.object("apps/v1", "Deployment", map[string]any{"spec": map[string]any{
		"selector": map[string]any{"matchLabels": d.selector()},
		"strategy": map[string]any{"rollingUpdate": map[string]any{"maxSurge": int64(1), "maxUnavailable": int64(0)}},
		"template": map[string]any{
			"metadata": map[string]any{"labels": labels, "annotations": annotations},
			"spec": map[string]any{
				"serviceAccountName": d.accountName(),
				// The proxy listens on the ports that the listeners name, without a capability.
				"securityContext": map[string]any{"seccompProfile": map[string]any{"type": "RuntimeDefault"}, "sysctls": []any{map[string]any{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}}},
				"containers": []any{map[string]any{"name": "istio-proxy", "image": "auto", "securityContext": map[string]any{
					"allowPrivilegeEscalation": false, "capabilities": map[string]any{"drop": []any{"ALL"}}, "readOnlyRootFilesystem": true,
					"runAsNonRoot": true, "runAsUser": int64(1337), "runAsGroup": int64(1337)}}},
			},
		},
	}})
}

func (d *deployment) service() *unstructured.Unstructured {
	ports := []any{map[string]any{"name": "status-port", "port": int64(readyPort), "protocol": "TCP"}}
	seen := []string{"TCP" + strconv.Itoa(readyPort)}
	for _, s := range d.g.Listens.Servers {
		number, protocol, prefix := strconv.Itoa(int(s.Port)), "TCP", "port-"
		if s.Protocol == mesh.UDP {
			protocol, prefix = "UDP", "udp-"
		}
		if slices.Contains(seen, protocol+number) {
			continue // listeners of one port differ by their hosts
		}
		seen = append(seen, protocol+number)
		ports = append(ports, map[string]any{"name": prefix + number, "port": int64(s.Port), "protocol": protocol})
	}
	kind := "LoadBalancer"
	if t := d.g.Object.Meta.Annotations[ServiceType]; t == "ClusterIP" || t == "NodePort" {
		kind = t
	}
	spec := map[string]any{"type": kind, "selector": d.selector(), "ports": ports}
	if asked := d.g.Listens.Addresses; len(asked) > 0 {
		spec["loadBalancerIP"] = asked[0].String() // a Service can ask for one
	}
	if d.g.Families != "" {
		spec["ipFamilyPolicy"] = d.g.Families
	}
	return d.object("v1", "Service", map[string]any{"spec": spec})
}
