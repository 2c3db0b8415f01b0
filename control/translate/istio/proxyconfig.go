package istio

import (
	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/mesh"
	networking "istio.io/api/networking/v1beta1"
)

// proxyConfigFields are honoured where pods are injected; the proxy reads one of the environment variables.
var proxyConfigFields = api.Fields("selector.matchLabels", "concurrency", "image.imageType", "environmentVariables")

// proxyVariable is the environment variable that proxies read: whether they answer questions for names.
const proxyVariable = "ISTIO_META_DNS_CAPTURE"

// ProxyConfig says what has no effect of a ProxyConfig. Injection reads the rest (control/inject); pods that run already keep what they have, as in Istio.
func ProxyConfig(o api.Object, in Lookup) []mesh.Problem {
	spec, ok := o.Spec.(*networking.ProxyConfig)
	if !ok {
		return nil
	}
	v := open(o, in)
	if !in.Settings().Injects {
		v.NotEnforced("", "this control plane puts no proxies into pods, so a ProxyConfig changes nothing")
		v.Marks(o)
		return v.Problems()
	}
	v.check(proxyConfigFields, nil)
	if n := spec.GetConcurrency().GetValue(); n < 0 {
		v.Invalid("spec.concurrency", "%d is negative", n)
	}
	for _, key := range sorted(spec.GetEnvironmentVariables()) {
		if key != proxyVariable {
			v.NotEnforced(keyed("spec.environmentVariables", key), "the proxy gets the variable and does not read it; it reads %s", proxyVariable)
		}
	}
	return v.Problems()
}
