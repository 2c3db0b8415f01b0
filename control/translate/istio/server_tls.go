package istio

import (
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/heddle-mesh/heddle/mesh"
	"google.golang.org/protobuf/proto"
	networking "istio.io/api/networking/v1alpha3"
)

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

func (v *visit) cipherSuites(list []string, path string) []string {
	for i, name := range list {
		if !slices.Contains(mesh.CipherSuites, name) {
			v.Add(mesh.CodeInvalid, at(path, i), "use one of "+strings.Join(mesh.CipherSuites[:6], ", "), "%q is not a cipher suite that gateways have", shorten(name))
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
		if !out.Protocol.IsHTTP() || !proto.Equal(x, &networking.ServerTLSSettings{HttpsRedirect: x.HttpsRedirect}) { // an empty setting says nothing, as in Istio
			v.Add(mesh.CodeInvalid, path, "set the port's protocol to HTTPS or TLS", "the server's protocol has no TLS, so its TLS settings would not be obeyed; only one for HTTP may have httpsRedirect")
		}
		return
	}
	if x.HttpsRedirect {
		v.Invalid(path+".httpsRedirect", "a server that speaks TLS has nothing to redirect")
	}
	mode, known := serverModes[x.Mode]
	if !known {
		v.Invalid(path+".mode", "%d is not a TLS mode", x.Mode)
	}
	t, denied := v.ended(mode, x, path)
	if out.TLS = t; denied != "" {
		out.Denied = denied
	}
}

// ended reads how TLS ends at a server; denied is why nothing may be let in.
func (v *visit) ended(mode mesh.ServerTLSMode, x *networking.ServerTLSSettings, path string) (out *mesh.ServerTLS, denied string) {
	t := &mesh.ServerTLS{Mode: mode, SubjectAltNames: slices.Clone(x.SubjectAltNames), Unverified: x.InsecureSkipVerify.GetValue()}
	t.CipherSuites = v.cipherSuites(x.CipherSuites, path+".cipherSuites")
	t.Curves, t.ALPN = v.curves(x.EcdhCurves, path+".ecdhCurves"), v.alpn(x.AlpnProtocols, path+".alpnProtocols")
	v.certificates(t, x, path)
	v.clients(t, x, path)
	t.MinVersion, t.MaxVersion = tlsVersions[x.MinProtocolVersion], tlsVersions[x.MaxProtocolVersion]
	if t.MaxVersion != 0 && t.MinVersion > t.MaxVersion {
		v.Invalid(path+".minProtocolVersion", "the lowest version is above the highest one")
	}
	if why := v.otherSources(t, x, path); why != "" {
		denied = why
	}
	return t, denied
}

// otherSources says why credentials that are no Secrets cannot be had: roots of a ConfigMap can.
func (v *visit) otherSources(t *mesh.ServerTLS, x *networking.ServerTLSSettings, path string) (denied string) {
	if strings.HasPrefix(t.Credential, "sds://") {
		denied = "credentials come from Secrets, not from another server of secrets"
		v.Add(mesh.CodeDenied, path+".credentialName", "name a Secret", "%s, so the server accepts no connection", denied)
	}
	name, isMap := strings.CutPrefix(x.CaCertCredentialName, configMap)
	if !isMap {
		return denied
	}
	roots, revoked, missing := v.rootsOf(name, path+".caCertCredentialName")
	if len(revoked) > 0 {
		missing = "what clients' authorities have revoked is read from Secrets only"
		v.Add(mesh.CodeDenied, path+".caCertCredentialName", "move the ConfigMap's entries into a Secret", "%s, so the server accepts no connection", missing)
	}
	t.CA, t.Roots = "", string(roots)
	return cmp.Or(denied, missing)
}

// credential is NAMESPACE/NAME or NAME of a Secret; Istio lets the place that it lies in be written before it.
func credential(name string) string {
	for _, prefix := range []string{"kubernetes-gateway://", "kubernetes://", "secret://"} {
		name = strings.TrimPrefix(name, prefix)
	}
	return name
}

// certificates reads where the server's own certificates come from: one of credentialName, credentialNames, tlsCertificates and files.
func (v *visit) certificates(t *mesh.ServerTLS, x *networking.ServerTLSSettings, path string) {
	var from []string
	if x.CredentialName != "" {
		from, t.Credential = append(from, "credentialName"), credential(x.CredentialName)
	}
	if len(x.CredentialNames) > 0 {
		from, t.Credential = append(from, "credentialNames"), credential(x.CredentialNames[0])
		for _, name := range x.CredentialNames[1:] {
			t.More = append(t.More, credential(name))
		}
	}
	if len(x.TlsCertificates) > 0 {
		from = append(from, "tlsCertificates")
		for i, c := range x.TlsCertificates {
			t.Files = append(t.Files, v.files(c.GetServerCertificate(), c.GetPrivateKey(), at(path+".tlsCertificates", i)))
			if c.GetCaCertificates() != "" {
				v.Add(mesh.CodeNotEnforced, at(path+".tlsCertificates", i)+".caCertificates", "write caCertificates of tls", "the roots are those of the server, not of one of its certificates, so these have no effect (nor have they in Istio)")
			}
		}
	}
	if x.ServerCertificate+x.PrivateKey != "" {
		from = append(from, "serverCertificate")
		t.Files = append(t.Files, v.files(x.ServerCertificate, x.PrivateKey, path))
	}
	if len(x.CredentialNames) > 2 || len(x.TlsCertificates) > 2 {
		v.Invalid(path, "at most two certificates are possible, of RSA and of ECDSA")
	}
	certified := t.Mode == mesh.ServerSimple || t.Mode == mesh.ServerMutual || t.Mode == mesh.ServerOptionalMutual
	switch given := len(from) > 0 || x.CaCertificates+x.CaCertCredentialName != ""; {
	case len(from) > 1:
		v.Invalid(path, "only one of %s may be given", strings.Join(from, " and "))
	case certified && len(from) == 0:
		v.Add(mesh.CodeInvalid, path+".credentialName", "name a Secret of type kubernetes.io/tls", "the server has no certificate")
	case certified || !given:
	case t.Mode == mesh.ServerIstioMutual:
		v.Invalid(path, "mode ISTIO_MUTUAL uses the mesh's own certificates, so none may be given")
	default:
		v.Invalid(path, "TLS does not end at a server of mode %s, so it needs no certificate", x.Mode)
	}
}

// files are a chain and its key beside the proxy.
func (v *visit) files(certificate, key, path string) mesh.CertificateFiles {
	if certificate == "" {
		v.Invalid(path+".serverCertificate", "the path of the certificate is missing")
	}
	if key == "" {
		v.Invalid(path+".privateKey", "the path of the key is missing")
	}
	return mesh.CertificateFiles{Certificate: certificate, Key: key}
}

// clients reads which clients are let in.
func (v *visit) clients(t *mesh.ServerTLS, x *networking.ServerTLSSettings, path string) {
	t.CAFile, t.CRLFile, t.CA = x.CaCertificates, x.CaCrl, credential(x.CaCertCredentialName)
	mutual := t.Mode == mesh.ServerMutual || t.Mode == mesh.ServerOptionalMutual
	switch {
	case mutual && len(t.Files) > 0 && t.CAFile == "" && t.CA == "":
		v.Invalid(path+".caCertificates", "nothing says who vouches for clients")
	case t.CRLFile != "" && t.CAFile == "":
		v.Add(mesh.CodeInvalid, path+".caCrl", "put the list into the Secret as ca.crl", "a list of revoked certificates in a file belongs to caCertificates")
	}
	for i, text := range x.VerifyCertificateSpki {
		if b, err := base64.StdEncoding.DecodeString(text); err != nil || len(b) != 32 {
			v.Invalid(at(path+".verifyCertificateSpki", i), "%q is not a SHA-256 hash in base64", shorten(text))
		}
	}
	for i, text := range x.VerifyCertificateHash {
		if b, err := hex.DecodeString(strings.ReplaceAll(text, ":", "")); err != nil || len(b) != 32 {
			v.Invalid(at(path+".verifyCertificateHash", i), "%q is not a SHA-256 hash in hexadecimal digits", shorten(text))
		}
	}
	t.SPKIs, t.Hashes = slices.Clone(x.VerifyCertificateSpki), slices.Clone(x.VerifyCertificateHash)
	if asked := len(t.SPKIs)+len(t.Hashes)+len(t.SubjectAltNames) > 0 || t.Unverified || t.CAFile+t.CA != ""; asked && !mutual && t.Mode != mesh.ServerIstioMutual {
		v.Add(mesh.CodeNotEnforced, path+".mode", "set mode: MUTUAL", "clients of a server of mode %s are not asked for a certificate, so what is said of it has no effect", x.Mode)
	}
}

func (v *visit) curves(list []string, path string) []string {
	for i, name := range list {
		if !slices.Contains(mesh.Curves, name) {
			v.Add(mesh.CodeInvalid, at(path, i), "use one of "+strings.Join(mesh.Curves, ", "), "%q is not a curve that gateways have", shorten(name))
		}
	}
	return slices.Clone(list)
}

// alpn reads protocols that clients are offered; each is 1 to 255 bytes (RFC 7301 section 3.1).
func (v *visit) alpn(list []string, path string) []string {
	for i, name := range list {
		if name == "" || len(name) > 255 {
			v.Invalid(at(path, i), "%q is not the name of a protocol", shorten(name))
		}
	}
	return slices.Clone(list)
}
