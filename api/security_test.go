package api

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
)

func paths(fields []Field) (out []string) {
	for _, f := range fields {
		out = append(out, f.Path)
		if f.Reason == "" {
			out = append(out, "(no reason)")
		}
	}
	return out
}

func TestUnenforced(t *testing.T) {
	for _, c := range []struct {
		name, doc string
		want      []string
	}{
		{"peer", "security.istio.io/v1 PeerAuthentication {mtls: {mode: STRICT}, selector: {matchLabels: {a: b}}, portLevelMtls: {8080: {mode: DISABLE}}}", nil},
		{"allow", "security.istio.io/v1 AuthorizationPolicy {rules: [{from: [{source: {principals: [a], notIpBlocks: [fd00::/8]}}], to: [{operation: {paths: [/a]}}]}]}", nil},
		{"when", "security.istio.io/v1 AuthorizationPolicy {rules: [{when: [{key: a, values: [b]}]}, {from: [{source: {requestPrincipals: [a], remoteIpBlocks: [1.2.3.4]}}]}]}",
			[]string{"spec.rules[0].when", "spec.rules[1].from[0].source.requestPrincipals", "spec.rules[1].from[0].source.remoteIpBlocks"}},
		{"custom", "security.istio.io/v1 AuthorizationPolicy {action: CUSTOM, provider: {name: x}}", []string{"spec.action", "spec.provider"}},
		{"audit", "security.istio.io/v1beta1 AuthorizationPolicy {action: AUDIT, targetRefs: [{kind: Service, name: x}]}", []string{"spec.targetRefs", "spec.action"}},
		{"jwt", "security.istio.io/v1 RequestAuthentication {}", []string{"spec"}},
		{"passthrough by omission", "networking.istio.io/v1 Gateway {servers: [{port: {number: 443, name: a, protocol: TLS}, hosts: ['*'], tls: {}}]}", nil},
		{"simple", "networking.istio.io/v1 Gateway {servers: [{port: {number: 443, name: a, protocol: HTTPS}, hosts: [a], tls: {mode: SIMPLE, credentialName: a, cipherSuites: [b], verifyCertificateHash: [c]}}]}", nil},
		{"redirect", "networking.istio.io/v1 Gateway {servers: [{port: {number: 80, name: a, protocol: HTTP}, hosts: [a], tls: {httpsRedirect: true}}, {port: {number: 443, name: b, protocol: HTTPS}, hosts: [a], tls: {httpsRedirect: true}}]}", nil},
		{"no tls", "networking.istio.io/v1 Gateway {servers: [{port: {number: 80, name: a, protocol: HTTP}, hosts: [a], defaultEndpoint: x}]}", nil},
		{"client", "networking.istio.io/v1 DestinationRule {host: a, trafficPolicy: {tls: {mode: SIMPLE, insecureSkipVerify: true, caCrl: x}, tunnel: {targetHost: a, targetPort: 1}, portLevelSettings: [{tls: {mode: MUTUAL, caCrl: f}}]}}", nil},
		{"wasm", "extensions.istio.io/v1alpha1 WasmPlugin {phase: AUTHN, url: x}", []string{"spec"}},
		{"wasm stats", "extensions.istio.io/v1alpha1 WasmPlugin {phase: STATS, url: x}", nil},
		{"extension", "extensions.istio.io/v1alpha1 TrafficExtension {phase: AUTHZ, lua: {inlineCode: a}}", []string{"spec"}},
		{"patch", "networking.istio.io/v1alpha3 EnvoyFilter {}", nil},
		{"gateway api", "gateway.networking.k8s.io/v1 Gateway {gatewayClassName: heddle, listeners: [{name: a, port: 443, protocol: HTTPS, tls: {mode: Terminate, certificateRefs: [{name: c}], options: {a: b}}}, {name: b, tls: {mode: Passthrough}}]}",
			[]string{`spec.listeners[0].tls.options["a"]`}},
		{"backend", "gateway.networking.k8s.io/v1 BackendTLSPolicy {targetRefs: [], options: {example.com/a: b}}", []string{"spec.options"}},
		{"none", "networking.istio.io/v1 VirtualService {hosts: [a]}", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			o, ps := Decode([]byte(short(c.doc)))
			if len(ps) != 0 {
				t.Fatal(ps)
			}
			if d := cmp.Diff(c.want, paths(Unenforced(o))); d != "" {
				t.Error(d)
			}
		})
	}
}

// short expands "APIVERSION KIND {spec}".
func short(s string) string {
	var version, kind string
	for i, j := 0, 0; i < len(s); i++ {
		if s[i] == ' ' {
			if version == "" {
				version, j = s[:i], i+1
				continue
			}
			kind = s[j:i]
			return "apiVersion: " + version + "\nkind: " + kind + "\nmetadata: {name: x, namespace: ns}\nspec: " + s[i+1:]
		}
	}
	return s
}

// Every path of the tables must exist in the schema, so that a typing mistake there cannot open a hole.
func TestSecurityTableNamesRealFields(t *testing.T) {
	for _, r := range securityTable {
		for _, k := range Kinds {
			if k.Name() != r.kind {
				continue
			}
			m, ok := k.NewSpec().(proto.Message)
			if !ok {
				continue
			}
			for pattern := range r.enforced.exact {
				if !MessageHas(m.ProtoReflect().Descriptor(), pattern) {
					t.Errorf("%s has no field %s", r.kind, pattern)
				}
			}
			for _, root := range r.roots {
				if root != "" && !MessageHas(m.ProtoReflect().Descriptor(), root) {
					t.Errorf("%s has no field %s", r.kind, root)
				}
			}
		}
	}
}

func TestEverySecurityKindHasARow(t *testing.T) {
	for _, k := range Kinds {
		found := false
		for _, r := range securityTable {
			found = found || r.kind == k.Name()
		}
		if k.Security && !found {
			t.Errorf("%s is a security kind without a row", k.Name())
		}
	}
}

func TestMarks(t *testing.T) {
	o := Object{Kind: Find(GroupNetworking, "VirtualService"), Meta: Meta{Labels: map[string]string{"app": "a", "istio.io/rev": "canary"},
		Annotations: map[string]string{"galley.istio.io/analyze-suppress": "*", "istio.io/dry-run": "true"}}}
	want := []string{`metadata.labels["istio.io/rev"]`, `metadata.annotations["istio.io/dry-run"]`}
	if d := cmp.Diff(want, paths(UnhonouredMarks(o))); d != "" {
		t.Error(d)
	}
	for value, n := range map[string]int{"enabled": 1, "disabled": 0} {
		ns := Object{Kind: Find(GroupCore, "Namespace"), Meta: Meta{Labels: map[string]string{"istio-injection": value, "kubernetes.io/metadata.name": "a"}}}
		if got := UnhonouredMarks(ns); len(got) != n {
			t.Errorf("istio-injection=%s: %v", value, got)
		}
	}
}

func TestPatternOf(t *testing.T) {
	if got := patternOf(`spec.a[10].b["x]\"y"].c`); got != "a[].b[].c" {
		t.Error(got)
	}
}
