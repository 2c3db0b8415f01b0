package settings

import (
	"fmt"
	"slices"

	meshconfig "istio.io/api/mesh/v1alpha1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/heddle-mesh/heddle/mesh"
)

// exports reads who sees objects that do not say it.
func exports(s *mesh.Settings, in *meshconfig.MeshConfig) error {
	for _, f := range []struct {
		field string
		list  []string
		to    *mesh.Visibility
	}{
		{"defaultServiceExportTo", in.DefaultServiceExportTo, &s.Exports.Services},
		{"defaultVirtualServiceExportTo", in.DefaultVirtualServiceExportTo, &s.Exports.VirtualServices},
		{"defaultDestinationRuleExportTo", in.DefaultDestinationRuleExportTo, &s.Exports.DestinationRules},
	} {
		v, err := visibility(f.list)
		if err != nil {
			return fmt.Errorf("field %s: %w", f.field, err)
		}
		*f.to = v
	}
	return nil
}

func visibility(list []string) (v mesh.Visibility, err error) {
	if len(list) > 1 && (slices.Contains(list, "*") || slices.Contains(list, "~")) {
		return v, fmt.Errorf(`"*" and "~" stand alone`)
	}
	for _, word := range list {
		switch {
		case word == "*":
		case word == ".":
			v.Private = true
		case word == "~":
			v.Nobody = true
		case len(validation.IsDNS1123Label(word)) > 0:
			return v, fmt.Errorf(`%q is neither a namespace, ".", "*" nor "~"`, word)
		default:
			v.Namespaces = append(v.Namespaces, mesh.Namespace(word))
		}
	}
	return v, nil
}
