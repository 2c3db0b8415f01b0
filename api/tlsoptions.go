package api

import (
	"fmt"
	"slices"
	"strings"

	gwv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// The options of a listener's TLS in the Gateway API, which are Istio's.
const (
	OptionTerminateMode = "gateway.istio.io/tls-terminate-mode"
	OptionCipherSuites  = "gateway.istio.io/tls-cipher-suites" // separated by commas
)

// TerminateModes are what OptionTerminateMode may say; SIMPLE is the default.
var TerminateModes = []string{"SIMPLE", "MUTUAL", "OPTIONAL_MUTUAL", "ISTIO_SIMPLE", "ISTIO_MUTUAL"}

// unknownOptions are those of listeners that ask for what nobody does.
func unknownOptions(o Object) (out []Field) {
	for i, t := range listenersTLS(o) {
		if t == nil {
			continue
		}
		options := map[string]string{}
		for key, value := range t.Options {
			options[string(key)] = string(value)
		}
		for _, key := range sortedKeys(options) {
			f := Field{Path: keyed(fmt.Sprintf("spec.listeners[%d].tls.options", i), key), Value: options[key]}
			switch {
			case key == OptionCipherSuites:
			case key != OptionTerminateMode:
				f.Reason = "this option of TLS is not known"
				out = append(out, f)
			case !slices.Contains(TerminateModes, f.Value):
				f.Reason = "the mode is none of " + strings.Join(TerminateModes, ", ")
				out = append(out, f)
			}
		}
	}
	return out
}

// listenersTLS are the TLS settings of the listeners of a Gateway or ListenerSet.
func listenersTLS(o Object) (out []*gwv1.ListenerTLSConfig) {
	switch s := o.Spec.(type) {
	case *gwv1.GatewaySpec:
		for i := range s.Listeners {
			out = append(out, s.Listeners[i].TLS)
		}
	case *gwv1.ListenerSetSpec:
		for i := range s.Listeners {
			out = append(out, s.Listeners[i].TLS)
		}
	}
	return out
}
