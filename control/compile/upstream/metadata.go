package upstream

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/heddle-mesh/heddle/control/compile/message"
	"github.com/heddle-mesh/heddle/control/compile/view"
	"github.com/heddle-mesh/heddle/mesh"
)

// metadata names the service and the rule behind a cluster as Istio does; telemetry reads it. It is frozen.
func (t *target) metadata(v *view.View) *corev3.Metadata {
	b, entry, at := message.BeginMetadata(v.Scratch(384), message.IstioKey)
	if t.rule != nil {
		b = message.AppendTextField(b, "config", "/apis/networking.istio.io/v1alpha3/namespaces/"+string(t.rule.Origin.Namespace)+"/destination-rule/"+t.rule.Origin.Name)
	}
	b = message.AppendNumberField(b, "default_original_port", float64(t.port.Number))
	b = appendServices(b, []*mesh.Service{t.service})
	if t.subset != "" {
		b = message.AppendTextField(b, "subset", t.subset)
	}
	return message.Raw[corev3.Metadata](message.EndMetadata(b, entry, at))
}

// servicesOf names the services behind a cluster, and their port if it is not 0. It is frozen.
func servicesOf(services []*mesh.Service, port uint16) *corev3.Metadata {
	b, entry, at := message.BeginMetadata(nil, message.IstioKey)
	if port != 0 {
		b = message.AppendNumberField(b, "default_original_port", float64(port))
	}
	return message.Raw[corev3.Metadata](message.EndMetadata(appendServices(b, services), entry, at))
}

// appendServices is Istio's form of services in cluster metadata.
func appendServices(b []byte, services []*mesh.Service) []byte {
	return message.AppendListField(b, "services", len(services), func(b []byte, i int) []byte {
		s := services[i]
		name := s.ShortName
		if name == "" {
			name = string(s.ID.Host)
		}
		b = message.AppendTextField(b, "host", string(s.ID.Host))
		b = message.AppendTextField(b, "name", name)
		return message.AppendTextField(b, "namespace", string(s.ID.Namespace))
	})
}
