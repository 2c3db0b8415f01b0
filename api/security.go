package api

import (
	"slices"
	"strings"

	extensions "istio.io/api/extensions/v1alpha1"
)

// securityRow is one row of the table of security fields: what of a kind is enforced now. Everything else at or below the roots is refused at admission;
// where it got past that, the workloads in scope deny.
type securityRow struct {
	kind     string            // Kind.Name
	roots    []string          // patterns that security begins at; "" is the whole spec
	when     func(Object) bool // nil: always
	enforced FieldSet
	more     func(Object) []Field // what else is not enforced, by its value
	why      string               // said of the whole kind when nothing of it is enforced, and of a field that has no reason of its own
	reasons  map[string]string
}

var clientTLS = []string{"tls.mode", "tls.sni", "tls.subjectAltNames", "tls.credentialName", "tls.caCertificates", "tls.clientCertificate", "tls.privateKey",
	"tls.insecureSkipVerify", "tls.caCrl", "tls.caCertCredentialName"}

func under(prefixes []string, fields []string) []string {
	var out []string
	for _, p := range prefixes {
		for _, f := range fields {
			out = append(out, join(p, f))
		}
	}
	return out
}

var clientPolicies = []string{"trafficPolicy", "trafficPolicy.portLevelSettings[]", "subsets[].trafficPolicy", "subsets[].trafficPolicy.portLevelSettings[]"}

// securityTable is the one place that says which security fields are enforced.
var securityTable = []securityRow{
	{
		kind: "PeerAuthentication.security.istio.io", roots: []string{""},
		enforced: Fields("selector.matchLabels", "mtls.mode", "portLevelMtls[].mode"),
	},
	{
		kind: "AuthorizationPolicy.security.istio.io", roots: []string{""},
		enforced: Fields("selector.matchLabels", "action=ALLOW|DENY",
			"rules[].from[].source.principals", "rules[].from[].source.notPrincipals",
			"rules[].from[].source.namespaces", "rules[].from[].source.notNamespaces",
			"rules[].from[].source.serviceAccounts", "rules[].from[].source.notServiceAccounts",
			"rules[].from[].source.trustDomains", "rules[].from[].source.notTrustDomains",
			"rules[].from[].source.ipBlocks", "rules[].from[].source.notIpBlocks",
			"rules[].to[].operation.hosts", "rules[].to[].operation.notHosts",
			"rules[].to[].operation.ports", "rules[].to[].operation.notPorts",
			"rules[].to[].operation.methods", "rules[].to[].operation.notMethods",
			"rules[].to[].operation.paths", "rules[].to[].operation.notPaths"),
		reasons: map[string]string{
			"action":     "only the actions ALLOW and DENY are enforced yet",
			"provider":   "external authorization is not enforced yet",
			"targetRefs": "policies are not attached to Gateways and Services by targetRefs yet",
			"targetRef":  "policies are not attached to Gateways and Services by targetRef yet",
			"rules":      "of a rule, only principals, namespaces, service accounts, trust domains, IP blocks, hosts, ports, methods and paths are enforced yet",
		},
	},
	{kind: "RequestAuthentication.security.istio.io", roots: []string{""}, why: "JSON web tokens are not checked yet"},
	{
		kind: "Gateway.networking.istio.io", roots: []string{"servers[].tls"},
		enforced: Fields("servers[].tls.mode=SIMPLE|MUTUAL|PASSTHROUGH|AUTO_PASSTHROUGH|ISTIO_MUTUAL|OPTIONAL_MUTUAL", "servers[].tls.credentialName", "servers[].tls.cipherSuites", "servers[].tls.httpsRedirect",
			"servers[].tls.minProtocolVersion", "servers[].tls.maxProtocolVersion", "servers[].tls.subjectAltNames", "servers[].tls.serverCertificate", "servers[].tls.privateKey",
			"servers[].tls.caCertificates", "servers[].tls.caCrl", "servers[].tls.credentialNames", "servers[].tls.caCertCredentialName", "servers[].tls.tlsCertificates[].*",
			"servers[].tls.verifyCertificateSpki", "servers[].tls.verifyCertificateHash", "servers[].tls.insecureSkipVerify", "servers[].tls.ecdhCurves", "servers[].tls.alpnProtocols"),
		why: "this TLS setting of a server is not enforced yet",
	},
	{
		kind: "Sidecar.networking.istio.io", roots: []string{"ingress[].tls"},
		enforced: Fields("ingress[].tls.mode=SIMPLE|MUTUAL|OPTIONAL_MUTUAL", "ingress[].tls.credentialName", "ingress[].tls.serverCertificate", "ingress[].tls.privateKey", "ingress[].tls.caCertificates",
			"ingress[].tls.caCrl", "ingress[].tls.cipherSuites", "ingress[].tls.minProtocolVersion", "ingress[].tls.maxProtocolVersion", "ingress[].tls.subjectAltNames",
			"ingress[].tls.credentialNames", "ingress[].tls.caCertCredentialName", "ingress[].tls.tlsCertificates[].*", "ingress[].tls.verifyCertificateSpki", "ingress[].tls.verifyCertificateHash",
			"ingress[].tls.insecureSkipVerify", "ingress[].tls.ecdhCurves", "ingress[].tls.alpnProtocols"),
		why: "this TLS setting of a sidecar's port is not enforced yet",
	},
	{
		kind: "DestinationRule.networking.istio.io", roots: under(clientPolicies, []string{"tls"}),
		enforced: Fields(under(clientPolicies, clientTLS)...),
		why:      "this TLS setting towards a host is not enforced yet",
	},
	{
		kind: "Gateway.gateway.networking.k8s.io", roots: []string{"listeners[].tls", "tls"},
		enforced: Fields("listeners[].tls.mode=Terminate|Passthrough", "listeners[].tls.certificateRefs[].*", "listeners[].tls.options.*",
			"tls.frontend.default.validation.caCertificateRefs[].*", "tls.frontend.default.validation.mode=AllowValidOnly|AllowInsecureFallback",
			"tls.frontend.perPort[].port", "tls.frontend.perPort[].tls.validation.caCertificateRefs[].*", "tls.frontend.perPort[].tls.validation.mode=AllowValidOnly|AllowInsecureFallback",
			"tls.backend.clientCertificateRef.*"),
		more: unknownOptions,
		why:  "this TLS setting of a gateway is not enforced yet",
	},
	{
		kind: "ListenerSet.gateway.networking.k8s.io", roots: []string{"listeners[].tls"},
		enforced: Fields("listeners[].tls.mode=Terminate|Passthrough", "listeners[].tls.certificateRefs[].*", "listeners[].tls.options.*"),
		more:     unknownOptions,
		why:      "this TLS setting of a gateway is not enforced yet",
	},
	{
		kind: "BackendTLSPolicy.gateway.networking.k8s.io", roots: []string{""}, enforced: Fields("targetRefs[].*", "validation.*"),
		reasons: map[string]string{"options": "no option of TLS towards backends is known"},
	},
	{kind: "WasmPlugin.extensions.istio.io", roots: []string{""}, when: inSecurityPhase, why: "WebAssembly plug-ins are not run yet, and this one takes part in authentication or authorization"},
	{kind: "TrafficExtension.extensions.istio.io", roots: []string{""}, when: inSecurityPhase, why: "traffic extensions are not run yet, and this one takes part in authentication or authorization"},
}

func inSecurityPhase(o Object) bool {
	switch s := o.Spec.(type) {
	case *extensions.WasmPlugin:
		return s.Phase == extensions.PluginPhase_AUTHN || s.Phase == extensions.PluginPhase_AUTHZ
	case *extensions.TrafficExtension:
		return s.Phase == extensions.TrafficExtension_AUTHN || s.Phase == extensions.TrafficExtension_AUTHZ
	}
	return true
}

// Unenforced gives the security fields of an object that are not enforced yet. Admission refuses an object that has any; where one got past admission,
// control/translate makes its workloads deny. An object that says nothing of security has none.
func Unenforced(o Object) []Field {
	if o.Kind == nil || o.Spec == nil {
		return nil
	}
	var out []Field
	for _, r := range securityTable {
		if r.kind != o.Kind.Name() || (r.when != nil && !r.when(o)) {
			continue
		}
		if r.nothingEnforced() {
			return []Field{{Path: "spec", Reason: r.why}}
		}
		for _, f := range r.enforced.Unlisted(o.Spec) {
			pattern := patternOf(f.Path)
			if !r.covers(pattern) {
				continue
			}
			f.Reason = r.reason(pattern)
			out = append(out, f)
		}
		if r.more != nil {
			out = append(out, r.more(o)...)
		}
	}
	return out
}

func (r securityRow) nothingEnforced() bool { return len(r.enforced.exact)+len(r.enforced.below) == 0 }

func (r securityRow) covers(pattern string) bool {
	return slices.ContainsFunc(r.roots, func(root string) bool {
		return root == "" || pattern == root || strings.HasPrefix(pattern, root+".") || strings.HasPrefix(pattern, root+"[")
	})
}

// reason is that of the longest pattern that is given one.
func (r securityRow) reason(pattern string) string {
	for p := pattern; p != ""; {
		if why, ok := r.reasons[p]; ok {
			return why
		}
		cut := strings.LastIndexAny(p, ".[")
		if cut < 0 {
			break
		}
		p = p[:cut]
	}
	if r.why != "" {
		return r.why
	}
	return pattern + " is not enforced yet"
}

// patternOf turns spec.a[0].b["k"].c into a[].b[].c.
func patternOf(path string) string {
	path = strings.TrimPrefix(strings.TrimPrefix(path, "spec"), ".")
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		b.WriteByte(path[i])
		if path[i] != '[' {
			continue
		}
		quoted := false
		for i++; i < len(path) && (quoted || path[i] != ']'); i++ {
			switch path[i] {
			case '"':
				quoted = !quoted
			case '\\':
				i++
			}
		}
		b.WriteByte(']')
	}
	return b.String()
}
