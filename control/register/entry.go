package register

import (
	"maps"
	"strings"

	"google.golang.org/protobuf/proto"
	networking "istio.io/api/networking/v1alpha3"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/mesh"
)

// maxName is the longest name of an object.
const maxName = 253

// Name is that of the entry of a proxy: GROUP-IP, or GROUP-IP-NETWORK where the proxy names its network. Of one that is too long the end counts, as in Istio.
func Name(group string, p *mesh.Proxy) (string, error) {
	if len(p.Addresses) == 0 {
		return "", refuse("the proxy wants to be registered in WorkloadGroup %s/%s and says no address of its own; give it one in its node id or INSTANCE_IPS", p.Namespace, group)
	}
	name := group + "-" + strings.ReplaceAll(p.Addresses[0].String(), ":", "-")
	if network := p.Metadata["NETWORK"]; network != "" {
		name += "-" + network
	}
	if len(name) > maxName {
		name = strings.TrimLeft(name[len(name)-maxName:], "-.")
	}
	return name, nil
}

// Entry is the entry of a proxy, made from its group. What the proxy says of its labels, network and place goes before the group's metadata, and that before its template; the
// address is the proxy's.
func Entry(group api.Object, p *mesh.Proxy) (o api.Object, err error) {
	name, err := Name(group.Meta.Name, p)
	if err != nil {
		return o, err
	}
	from, ok := group.Spec.(*networking.WorkloadGroup)
	if !ok {
		return o, refuse("WorkloadGroup %s/%s cannot be read; its status says why", p.Namespace, group.Meta.Name)
	}
	spec := &networking.WorkloadEntry{}
	if t := from.GetTemplate(); t != nil {
		spec = proto.Clone(t).(*networking.WorkloadEntry)
	}
	spec.Address = p.Addresses[0].String()
	spec.Labels = merged(spec.GetLabels(), from.GetMetadata().GetLabels(), p.Labels)
	if err := sound(spec.Labels, p); err != nil {
		return o, err
	}
	if network := p.Metadata["NETWORK"]; network != "" {
		spec.Network = network
	}
	if p.Locality != (mesh.Locality{}) {
		spec.Locality = strings.TrimRight(p.Locality.Region+"/"+p.Locality.Zone+"/"+p.Locality.Subzone, "/")
	}
	marks := merged(map[string]string{markGroup: group.Meta.Name}, from.GetMetadata().GetAnnotations())
	if p.Probed {
		marks[api.MarkHealthChecks] = "true"
	}
	o = api.Object{Kind: api.Find(api.GroupNetworking, "WorkloadEntry"), Spec: spec, Read: true,
		Meta: api.Meta{Name: name, Namespace: string(p.Namespace), Labels: maps.Clone(spec.Labels), Annotations: marks}}
	return o, nil
}

// mostLabels bounds what a proxy may say of its workload.
const mostLabels = 256

// sound says whether labels, of which a proxy gave some, may be those of an object.
func sound(l map[string]string, p *mesh.Proxy) error {
	if len(l) > mostLabels {
		return refuse("the entry of proxy %q would have %d labels; an object has %d at most", short(p.ID), len(l), mostLabels)
	}
	for k, v := range l {
		if len(validation.IsQualifiedName(k)) > 0 || len(validation.IsValidLabelValue(v)) > 0 {
			return refuse("the entry of proxy %q would have the label %q with value %q, which is none; correct the metadata LABELS", short(p.ID), short(k), short(v))
		}
	}
	return nil
}

// short bounds what others wrote where it is told.
func short(s string) string { return s[:min(len(s), 100)] }

// describe says of a proxy what its entry says of the workload and the proxy itself does not.
func describe(p *mesh.Proxy, o api.Object) {
	spec := o.Spec.(*networking.WorkloadEntry)
	p.Entry = o.Meta.Name
	p.Labels = merged(p.Labels, o.Meta.Labels, spec.GetLabels())
	if p.Locality == (mesh.Locality{}) {
		p.Locality = mesh.ParseLocality(spec.GetLocality())
	}
	if p.Metadata["NETWORK"] == "" && spec.GetNetwork() != "" {
		p.Network = mesh.NetworkID(spec.GetNetwork())
	}
}

// merged joins maps; later ones count more.
func merged(all ...map[string]string) map[string]string {
	out := map[string]string{}
	for _, m := range all {
		maps.Copy(out, m)
	}
	return out
}
