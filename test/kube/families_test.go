package kube

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// families calls through both kinds of gateways at every address that they have: one of each family of the cluster.
func families(t *testing.T) {
	apply(t, `apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: open, namespace: policy-other}
spec:
  selector: {istio: ingressgateway}
  servers: [{hosts: [open.example], port: {name: http, number: 80, protocol: HTTP}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: open, namespace: policy-other}
spec:
  hosts: [open.example]
  gateways: [open]
  http: [{route: [{destination: {host: open, port: {number: 80}}}]}]
---
`+front("policy-other", "open", ""))
	has := len(addressesOf(t, "kube-system", "service", "kube-dns"))
	if got := addressesOf(t, "istio-system", "service", "heddled"); len(got) != has {
		t.Errorf("heddled has the addresses %v, want %d", got, has)
	}
	for _, service := range []struct{ namespace, name string }{{"istio-system", "heddle-ingressgateway"}, {"policy-other", "front-heddle"}} {
		eventually(t, "calls through "+service.name, func() error {
			out, err := kubectl("-n", service.namespace, "get", "service", service.name, "-o", "jsonpath={.status.loadBalancer.ingress[*].ip}")
			all := strings.Fields(out)
			if err != nil || len(all) != has {
				return errors.Join(fmt.Errorf("it has the addresses %q, want %d", out, has), err)
			}
			for _, address := range all {
				err = errors.Join(err, call(address, "open.example"))
			}
			return err
		})
	}
	k(t, "-n", "policy-other", "delete", "gateways.gateway.networking.k8s.io/front", "httproutes.gateway.networking.k8s.io/open")
	k(t, "delete", "gatewayclass/heddle")
}
