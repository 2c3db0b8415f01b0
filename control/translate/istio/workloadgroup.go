package istio

import (
	networking "istio.io/api/networking/v1alpha3"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/mesh"
)

// workloadGroupFields are honoured: the probe by the workload's own proxy, which finds it in what it is started with, the rest in the entries of workloads that register.
var workloadGroupFields = api.Fields("metadata.labels", "metadata.annotations", "template.ports", "template.labels", "template.network", "template.locality", "template.weight",
	"template.serviceAccount", "probe.*", "probe.httpGet.*", "probe.httpGet.httpHeaders[].*", "probe.tcpSocket.*", "probe.exec.*", "probe.grpc.*")

// WorkloadGroup checks the object by which workloads register (control/register): what would make an entry that the API, or a proxy, does not take.
func WorkloadGroup(o api.Object, in Lookup) []mesh.Problem {
	spec, ok := o.Spec.(*networking.WorkloadGroup)
	if !ok {
		return nil
	}
	v := open(o, in)
	v.check(workloadGroupFields, func(path string) bool { return path == "spec.template.address" })
	if spec.GetTemplate().GetAddress() != "" {
		v.NotEnforced("spec.template.address", "a workload is registered with the address of its proxy, so the address of the template has no effect")
	}
	v.endpoint(&networking.WorkloadEntry{Ports: spec.GetTemplate().GetPorts()}, "spec.template")
	v.labels(spec.GetTemplate().GetLabels(), "spec.template.labels")
	v.labels(spec.GetMetadata().GetLabels(), "spec.metadata.labels")
	for _, key := range sorted(spec.GetMetadata().GetAnnotations()) {
		if len(validation.IsQualifiedName(key)) > 0 {
			v.Invalid(keyed("spec.metadata.annotations", shorten(key)), "%q is not the key of an annotation", shorten(key))
		}
	}
	v.probe(spec.GetProbe())
	return v.Problems()
}

// SoundGroup says whether a WorkloadGroup can be registered by.
func SoundGroup(o api.Object) bool { return api.Valid(WorkloadGroup(o, nil)) } // nothing else is asked about it

// labels checks labels that objects are to have.
func (v *visit) labels(l map[string]string, path string) {
	for _, key := range sorted(l) {
		if len(validation.IsQualifiedName(key)) > 0 {
			v.Invalid(keyed(path, shorten(key)), "%q is not the key of a label", shorten(key))
		}
		if len(validation.IsValidLabelValue(l[key])) > 0 {
			v.Invalid(keyed(path, shorten(key)), "%q is not the value of a label", shorten(l[key]))
		}
	}
}

// probe wants one way to ask. The API's schema leaves these to the control plane.
func (v *visit) probe(p *networking.ReadinessProbe) {
	if p == nil {
		return
	}
	switch m := p.GetHealthCheckMethod().(type) {
	case nil:
		v.Add(mesh.CodeInvalid, "spec.probe", "give httpGet, tcpSocket, exec or grpc", "the probe does not say what to ask")
	case *networking.ReadinessProbe_Exec:
		if len(m.Exec.GetCommand()) == 0 {
			v.Invalid("spec.probe.exec.command", "the probe has no command")
		}
	case *networking.ReadinessProbe_Grpc:
		v.port(m.Grpc.GetPort(), "spec.probe.grpc.port")
	}
}
