package settings

import (
	meshconfig "istio.io/api/mesh/v1alpha1"

	"github.com/heddle-mesh/heddle/mesh"
)

// ingress reads how Ingresses are served.
func ingress(in *meshconfig.MeshConfig) mesh.IngressSettings {
	s := mesh.IngressSettings{Class: in.IngressClass, Service: in.IngressService, Selector: in.IngressSelector}
	switch in.IngressControllerMode {
	case meshconfig.MeshConfig_DEFAULT:
		s.Mode = mesh.IngressDefault
	case meshconfig.MeshConfig_OFF:
		s.Mode = mesh.IngressOff
	}
	return s
}
