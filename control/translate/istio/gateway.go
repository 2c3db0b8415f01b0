package istio

import (
	"slices"
	"strings"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/translate/note"
	"github.com/heddle-mesh/heddle/mesh"
	networking "istio.io/api/networking/v1alpha3"
)

// gatewayFields are honoured; the TLS settings are judged by api.Unenforced.
var gatewayFields = api.Fields("selector", "servers[].port.number", "servers[].port.protocol", "servers[].port.name", "servers[].hosts",
	"servers[].name", "servers[].tls.*")

// Gateway gives the listeners that a Gateway describes, or nil when the object is broken. A server whose TLS settings cannot be enforced is there with a
// reason to deny, so that nobody reaches what it should have protected.
func Gateway(o api.Object, in Lookup) (*mesh.Gateway, []mesh.Problem) {
	spec, ok := o.Spec.(*networking.Gateway)
	if !ok {
		return nil, nil
	}
	v := open(o, in)
	v.check(gatewayFields, nil)
	g := &mesh.Gateway{ID: mesh.GatewayID{Dialect: mesh.Istio, Namespace: v.ns, Name: o.Meta.Name}, Origin: o.Ref(), Created: o.Meta.Created, Selector: spec.Selector}
	if len(spec.Servers) == 0 {
		v.Invalid("spec.servers", "the gateway has no server")
	}
	denials := map[string]string{}
	for _, f := range api.Unenforced(o) {
		v.Add(mesh.CodeDenied, f.Path, "", "%s, so the server accepts no connection", f.Reason)
		denials[f.Path] = f.Reason
	}
	names := map[string]bool{}
	for i, s := range spec.Servers {
		path := at("spec.servers", i)
		if s == nil {
			v.Invalid(path, "the server is empty")
			continue
		}
		if s.Name != "" && names[s.Name] {
			v.Invalid(path+".name", "two servers have the name %s", s.Name)
		}
		names[s.Name] = true
		server := v.server(s, path)
		for _, field := range sorted(denials) {
			if note.Under(field, path) {
				server.Denied = denials[field]
			}
		}
		g.Servers = append(g.Servers, server)
	}
	if v.Broken() {
		return nil, v.Problems()
	}
	return g, v.Problems()
}

// serverProtocols are those that a server of a Gateway may have.
var serverProtocols = map[string]mesh.Protocol{"HTTP": mesh.HTTP, "HTTPS": mesh.HTTPS, "GRPC": mesh.GRPC, "GRPC-WEB": mesh.GRPCWeb, "HTTP2": mesh.HTTP2,
	"MONGO": mesh.Mongo, "TCP": mesh.TCP, "TLS": mesh.TLS}

func (v *visit) server(s *networking.Server, path string) mesh.Server {
	out := mesh.Server{Name: s.Name, Bind: s.Bind}
	if s.Port == nil {
		v.Invalid(path+".port", "the port is missing")
	} else {
		if out.Name == "" {
			out.Name = s.Port.Name
		}
		if s.Port.Name == "" {
			v.Invalid(path+".port.name", "the port has no name")
		}
		out.Port = v.port(s.Port.Number, path+".port.number")
		p, ok := serverProtocols[strings.ToUpper(s.Port.Protocol)]
		if !ok {
			v.Add(mesh.CodeInvalid, path+".port.protocol", "use HTTP, HTTPS, HTTP2, GRPC, GRPC-WEB, TLS, TCP or MONGO", "%q is not a protocol of a gateway", s.Port.Protocol)
		}
		out.Protocol = p
	}
	if s.Bind != "" { // it keeps clients from outside away; listening on every address instead would let them in
		out.Denied = "the server may be reached at one address only, and that is not possible yet"
		v.Add(mesh.CodeDenied, path+".bind", "remove the field", "because bind is not honoured yet, the server accepts no connection")
	}
	v.serverHosts(&out, s, path)
	v.serverTLS(&out, s.Tls, path+".tls")
	return out
}

func (v *visit) serverHosts(out *mesh.Server, s *networking.Server, path string) {
	if len(s.Hosts) == 0 {
		v.Add(mesh.CodeInvalid, path+".hosts", `name hosts, or "*"`, "the server has no host")
	}
	for i, text := range s.Hosts {
		h := mesh.ServerHost{}
		space, name, ok := strings.Cut(text, "/")
		switch {
		case !ok:
			name = text
		case space == ".":
			h.Namespace = v.ns
		case space == "*":
		case !dnsLabel(space):
			v.Invalid(at(path+".hosts", i), "%q is not a namespace", space)
		default:
			h.Namespace = mesh.Namespace(space)
		}
		host, err := mesh.ParseHost(name)
		if err != nil {
			v.Invalid(at(path+".hosts", i), "%q is not a host name", name)
			continue
		}
		h.Host = host
		out.Hosts = append(out.Hosts, h)
	}
}

// tlsVersions are the version numbers of RFC 8446 section 4.2.1 and earlier.
var tlsVersions = map[networking.ServerTLSSettings_TLSProtocol]uint16{
	networking.ServerTLSSettings_TLS_AUTO: 0, networking.ServerTLSSettings_TLSV1_0: 0x0301, networking.ServerTLSSettings_TLSV1_1: 0x0302,
	networking.ServerTLSSettings_TLSV1_2: 0x0303, networking.ServerTLSSettings_TLSV1_3: 0x0304,
}

var serverModes = map[networking.ServerTLSSettings_TLSmode]mesh.ServerTLSMode{
	networking.ServerTLSSettings_PASSTHROUGH: mesh.ServerPassthrough, networking.ServerTLSSettings_SIMPLE: mesh.ServerSimple, networking.ServerTLSSettings_MUTUAL: mesh.ServerMutual,
	networking.ServerTLSSettings_AUTO_PASSTHROUGH: mesh.ServerAutoPassthrough, networking.ServerTLSSettings_ISTIO_MUTUAL: mesh.ServerIstioMutual,
	networking.ServerTLSSettings_OPTIONAL_MUTUAL: mesh.ServerOptionalMutual,
}

// cipherSuiteNames are OpenSSL's names of the suites that every data plane has.
var cipherSuiteNames = []string{
	"ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305",
	"ECDHE-RSA-CHACHA20-POLY1305", "ECDHE-ECDSA-AES128-SHA", "ECDHE-RSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA", "ECDHE-RSA-AES256-SHA", "AES128-GCM-SHA256", "AES256-GCM-SHA384",
	"AES128-SHA", "AES256-SHA",
}

func (v *visit) cipherSuites(list []string, path string) []string {
	for i, name := range list {
		if !slices.Contains(cipherSuiteNames, name) {
			v.Add(mesh.CodeInvalid, at(path, i), "use one of "+strings.Join(cipherSuiteNames[:6], ", "), "%q is not a cipher suite that gateways have", shorten(name))
		}
		if slices.Contains(list[:i], name) {
			v.Invalid(at(path, i), "%s is there twice", name)
		}
	}
	return slices.Clone(list)
}

func (v *visit) serverTLS(out *mesh.Server, x *networking.ServerTLSSettings, path string) {
	secure := out.Protocol == mesh.HTTPS || out.Protocol == mesh.TLS
	if x == nil {
		if secure {
			v.Add(mesh.CodeInvalid, path, "give tls.mode and tls.credentialName", "a server for HTTPS or TLS needs TLS settings")
		}
		return
	}
	out.HTTPSRedirect = x.HttpsRedirect
	if !secure {
		if out.Protocol.IsHTTP() && x.HttpsRedirect {
			if x.CredentialName != "" || x.Mode != networking.ServerTLSSettings_PASSTHROUGH {
				v.Invalid(path, "a server for plain HTTP can redirect to HTTPS, and cannot have other TLS settings")
			}
			return
		}
		v.Add(mesh.CodeInvalid, path, "set the port's protocol to HTTPS or TLS", "the server's protocol has no TLS, so its TLS settings would not be obeyed")
		return
	}
	if x.HttpsRedirect {
		v.Invalid(path+".httpsRedirect", "a server that speaks TLS has nothing to redirect")
	}
	t := &mesh.ServerTLS{Credential: strings.TrimPrefix(x.CredentialName, "kubernetes://"), SubjectAltNames: slices.Clone(x.SubjectAltNames)}
	mode, known := serverModes[x.Mode]
	if !known {
		v.Invalid(path+".mode", "%d is not a TLS mode", x.Mode)
	}
	t.Mode = mode
	certified := t.Mode == mesh.ServerSimple || t.Mode == mesh.ServerMutual || t.Mode == mesh.ServerOptionalMutual
	switch {
	case certified || x.CredentialName+x.ServerCertificate+x.PrivateKey+x.CaCertificates == "":
	case t.Mode == mesh.ServerIstioMutual:
		v.Invalid(path, "mode ISTIO_MUTUAL uses the mesh's own certificates, so none may be given")
	default:
		v.Invalid(path, "TLS does not end at a server of mode %s, so it needs no certificate", x.Mode)
	}
	t.CipherSuites = v.cipherSuites(x.CipherSuites, path+".cipherSuites")
	if certified && x.CredentialName == "" && x.ServerCertificate == "" && len(x.CredentialNames)+len(x.TlsCertificates) == 0 {
		v.Add(mesh.CodeInvalid, path+".credentialName", "name a Secret of type kubernetes.io/tls", "the server has no certificate")
	}
	t.MinVersion, t.MaxVersion = tlsVersions[x.MinProtocolVersion], tlsVersions[x.MaxProtocolVersion]
	if t.MaxVersion != 0 && t.MinVersion > t.MaxVersion {
		v.Invalid(path+".minProtocolVersion", "the lowest version is above the highest one")
	}
	out.TLS = t
}
