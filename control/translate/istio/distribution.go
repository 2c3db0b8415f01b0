package istio

import (
	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/mesh"
)

// DistributionMark is the annotation of a Service, a ServiceEntry or, for all in it that do not say it, a Namespace, which says which endpoints go first.
const DistributionMark = "networking.istio.io/traffic-distribution"

// Distribution is what the services of a namespace have that say nothing themselves. What is not understood counts for nothing, and NamespaceDistribution tells it.
func Distribution(ns mesh.Namespace, in Lookup) mesh.Nearness {
	o, _ := in.Object(mesh.Ref{Kind: "Namespace", Name: string(ns)})
	near, _ := mesh.ParseNearness(o.Meta.Annotations[DistributionMark])
	return near
}

// NamespaceDistribution tells the owner of a Namespace of an annotation that is not understood.
func NamespaceDistribution(o api.Object) []mesh.Problem {
	said, ok := o.Meta.Annotations[DistributionMark]
	if _, known := mesh.ParseNearness(said); !ok || known || o.Kind.Kind != "Namespace" {
		return nil
	}
	return []mesh.Problem{{Object: o.Ref(), Field: keyed("metadata.annotations", DistributionMark), Code: mesh.CodeInvalid,
		Message: shorten(said) + " is none of the distributions, so endpoints everywhere are alike", Hint: "write PreferClose, PreferSameZone or PreferSameNode"}}
}
