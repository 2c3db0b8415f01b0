package istio

import (
	"slices"
	"strings"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/mesh"
	networking "istio.io/api/networking/v1beta1"
)

// proxyConfigFields are honoured where pods are injected; the proxy reads some of the environment variables.
var proxyConfigFields = api.Fields("selector.matchLabels", "concurrency", "image.imageType", "environmentVariables")

// proxyVariables are the environment variables that count: whether proxies answer questions for names, and whether they ask where their like run.
var proxyVariables = []string{"ISTIO_META_DNS_CAPTURE", mesh.MetaSelfDiscovery}

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
		if !slices.Contains(proxyVariables, key) {
			v.NotEnforced(keyed("spec.environmentVariables", key), "the proxy gets the variable and does not read it; it reads %s", strings.Join(proxyVariables, " and "))
		}
	}
	return v.Problems()
}
