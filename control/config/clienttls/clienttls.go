// Package clienttls reads Istio's ClientTLSSettings, which stand in DestinationRules and in MeshConfig.
//
// In: the message. Out: mesh.ClientTLS, and a word for each mistake with the path of the field below the message, "" for the message itself. Pure; safe for concurrent use.
package clienttls

import (
	"fmt"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/heddle-mesh/heddle/mesh"
)

var modes = map[networking.ClientTLSSettings_TLSmode]mesh.TLSMode{
	networking.ClientTLSSettings_DISABLE: mesh.TLSDisable, networking.ClientTLSSettings_SIMPLE: mesh.TLSSimple,
	networking.ClientTLSSettings_MUTUAL: mesh.TLSMutual, networking.ClientTLSSettings_ISTIO_MUTUAL: mesh.TLSIstioMutual,
}

// Read reads how a client makes TLS; nil stays nil.
func Read(x *networking.ClientTLSSettings, invalid func(field, hint, message string)) *mesh.ClientTLS {
	if x == nil {
		return nil
	}
	mode, known := modes[x.Mode]
	if !known {
		invalid("mode", "", fmt.Sprintf("%d is not a TLS mode", x.Mode))
	}
	files := x.ClientCertificate + x.PrivateKey
	switch {
	case mode == mesh.TLSMutual && x.CredentialName == "" && (x.ClientCertificate == "" || x.PrivateKey == ""):
		invalid("", "give credentialName", "mode MUTUAL needs a client certificate")
	case x.CredentialName != "" && files+x.CaCertificates != "":
		invalid("credentialName", "", "credentialName and certificate files exclude each other")
	case mode == mesh.TLSIstioMutual && files+x.CaCertificates+x.CredentialName+x.CaCertCredentialName != "":
		invalid("", "", "mode ISTIO_MUTUAL uses the mesh's own certificates, so none may be given")
	case x.CaCrl != "" && x.CaCertificates == "" && x.CredentialName+x.CaCertCredentialName != "":
		invalid("caCrl", "put the list into the Secret as ca.crl", "a list of revoked certificates in a file belongs to caCertificates")
	}
	return &mesh.ClientTLS{
		Mode: mode, SNI: x.Sni, SubjectAltNames: x.SubjectAltNames, CACertificates: x.CaCertificates, ClientCertificate: x.ClientCertificate,
		PrivateKey: x.PrivateKey, CredentialName: x.CredentialName, CACredential: x.CaCertCredentialName, CRL: x.CaCrl, InsecureSkipVerify: x.InsecureSkipVerify.GetValue(),
	}
}

// Unreachable is a setting under which nothing gets through. Whoever might not read Denied does not get through either: the server would have to prove a name that
// RFC 6761 section 6.4 keeps anybody from having.
func Unreachable(reason string) *mesh.ClientTLS {
	return &mesh.ClientTLS{Mode: mesh.TLSIstioMutual, SubjectAltNames: []string{"denied.heddle.invalid"}, Denied: reason}
}
