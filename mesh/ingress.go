package mesh

import "cmp"

// IngressMode is which Ingresses of Kubernetes count (MeshConfig.ingressControllerMode).
type IngressMode uint8

// The modes.
const (
	IngressStrict  IngressMode = iota // those of Istio's class
	IngressDefault                    // those without a class, too
	IngressOff
)

// IngressSettings say how Ingresses are served. What is "" has Istio's default.
type IngressSettings struct {
	Mode     IngressMode
	Class    string // of the annotation kubernetes.io/ingress.class
	Service  string // whose addresses Ingresses have, in the root namespace
	Selector string // of the gateways: the label istio
}

// ClassName is the value of the annotation by which an Ingress is the mesh's.
func (s IngressSettings) ClassName() string { return cmp.Or(s.Class, "istio") }

// Front is the Service in front of the gateways.
func (s IngressSettings) Front() string { return cmp.Or(s.Service, "istio-ingressgateway") }

// Workloads is the value of the label istio of the gateways that serve Ingresses.
func (s IngressSettings) Workloads() string { return cmp.Or(s.Selector, s.Service, "ingressgateway") }
