package server

import (
	"cmp"
	"context"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/config/kube"
	"github.com/heddle-mesh/heddle/control/deploy"
	"github.com/heddle-mesh/heddle/control/inject"
)

// deployGateways keeps workloads for the gateways of the Gateway API that name none of their own. Only a control plane that injects can: the pods are nothing before.
func (d *Server) deployGateways(ctx context.Context) {
	file, err := inject.ReadConfig(d.opts.InjectConfig)
	if err != nil || d.opts.InjectWebhook == "" {
		return // a file that cannot be read has stopped New
	}
	d.apis.cluster.Deploy(ctx, kube.Deployment{
		Mark:  map[string]string{deploy.ManagedLabel: deploy.ManagedBy, deploy.RevisionLabel: file.Revision},
		Kinds: deploy.Kinds,
		Want:  func() (kube.Wanted, bool) { return d.gatewayObjects(file) }, Changed: d.published,
	}, d.log.With("part", "gateways"))
}

// gatewayObjects renders them for the snapshot of now; without one it is not known what is wanted. A gateway belongs to the revision that its label names. What was made for one that is
// refused stays as it is: its owner's mistake shall not cost it the address of its load balancer.
func (d *Server) gatewayObjects(file inject.Config) (all kube.Wanted, known bool) {
	snap := d.publisher.Current()
	if snap == nil {
		return all, false
	}
	for _, g := range snap.Gateways.All() {
		e, ok := d.store.Get(g.Origin)
		if ok && g.Refused {
			for _, name := range deploy.Names(e.Object, g) {
				all.Stay = append(all.Stay, types.NamespacedName{Namespace: e.Object.Meta.Namespace, Name: name})
			}
		}
		if !ok || g.ID.Set || !deploy.Wanted(g) || e.Object.Meta.UID == "" {
			continue
		}
		for _, set := range snap.Gateways.All() {
			if set.ID.Set && set.Of == g.ID {
				whole := *g
				whole.Servers = slices.Concat(g.Servers, set.Servers)
				g = &whole
			}
		}
		revision := cmp.Or(e.Object.Meta.Labels["istio.io/rev"], "default")
		if revision == file.Revision || slices.Contains(file.Tags, revision) {
			objects, err := deploy.Objects(deploy.Gateway{Object: e.Object, Listens: g, Revision: file.Revision, Families: d.opts.GatewayFamilies, Owners: d.gatewayOwners(e.Object)})
			if err != nil {
				d.log.Error("a gateway's workloads cannot be made", "part", "gateways", "error", err)
			}
			all.Objects = append(all.Objects, objects...)
		}
	}
	return all, true
}

// gatewayOwners are those of a gateway's workloads: the Gateway, and where that is in another API, of which the cluster knows nothing, what owns all else that heddled makes.
func (d *Server) gatewayOwners(o api.Object) []metav1.OwnerReference {
	if d.apis.two() {
		return d.owners
	}
	return []metav1.OwnerReference{deploy.Owner(o)}
}
