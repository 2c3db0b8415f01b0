package decode

import (
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	rawv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/raw_buffer/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/heddle-mesh/heddle/data/proxy/config"
)

func (r *read) serverTLS(path string, m *corev3.TransportSocket) *config.ServerTLS {
	p := path + ".typed_config"
	if m.GetTypedConfig().MessageIs((*rawv3.RawBuffer)(nil)) {
		return nil
	}
	c, ok := into[*tlsv3.DownstreamTlsContext](&r.problems, p, m.GetTypedConfig())
	if !ok {
		return nil
	}
	out := &config.ServerTLS{
		TLSParams: r.tlsParams(p+".common_tls_context", c.GetCommonTlsContext()), RequireClientCertificate: c.GetRequireClientCertificate().GetValue(),
		DisableResumption: c.GetDisableStatelessSessionResumption() || c.GetDisableStatefulSessionResumption(),
	}
	if len(out.Certificates) == 0 {
		r.add(p+".common_tls_context", "a server needs a certificate")
	}
	return out
}

func (r *read) clientTLS(path string, m *corev3.TransportSocket) *config.ClientTLS {
	p := path + ".typed_config"
	if m == nil || m.GetTypedConfig().MessageIs((*rawv3.RawBuffer)(nil)) {
		return nil
	}
	c, ok := into[*tlsv3.UpstreamTlsContext](&r.problems, p, m.GetTypedConfig())
	if !ok {
		return nil
	}
	return &config.ClientTLS{TLSParams: r.tlsParams(p+".common_tls_context", c.GetCommonTlsContext()), SNI: c.GetSni()}
}

var tlsVersions = map[tlsv3.TlsParameters_TlsProtocol]uint16{
	tlsv3.TlsParameters_TLS_AUTO: 0, tlsv3.TlsParameters_TLSv1_0: tls.VersionTLS10, tlsv3.TlsParameters_TLSv1_1: tls.VersionTLS11,
	tlsv3.TlsParameters_TLSv1_2: tls.VersionTLS12, tlsv3.TlsParameters_TLSv1_3: tls.VersionTLS13,
}

// curves are BoringSSL's names of the groups that crypto/tls can be asked for.
var curves = map[string]tls.CurveID{
	"X25519": tls.X25519, "P-256": tls.CurveP256, "P-384": tls.CurveP384, "P-521": tls.CurveP521, "X25519MLKEM768": tls.X25519MLKEM768,
}

func (r *read) tlsParams(path string, m *tlsv3.CommonTlsContext) config.TLSParams {
	params := m.GetTlsParams()
	out := config.TLSParams{MinVersion: tlsVersions[params.GetTlsMinimumProtocolVersion()], MaxVersion: tlsVersions[params.GetTlsMaximumProtocolVersion()], ALPN: m.GetAlpnProtocols()}
	if out.MaxVersion != 0 && out.MinVersion > out.MaxVersion {
		r.add(path+".tls_params", "the minimum version is above the maximum")
	}
	for i, name := range params.GetCipherSuites() {
		ids, err := config.CipherSuite(name)
		if err != nil {
			r.add(at(path, "tls_params.cipher_suites", i), "%v", err)
		}
		out.CipherSuites = append(out.CipherSuites, ids...)
	}
	for i, name := range params.GetEcdhCurves() {
		id, ok := curves[name]
		if !ok {
			r.add(at(path, "tls_params.ecdh_curves", i), "%q is not supported", name)
		}
		out.Curves = append(out.Curves, uint16(id))
	}
	for i, c := range m.GetTlsCertificates() {
		p := at(path, "tls_certificates", i)
		out.Certificates = append(out.Certificates, r.certificate(p, c))
	}
	for i, c := range m.GetTlsCertificateSdsSecretConfigs() {
		out.Certificates = append(out.Certificates, r.sds(at(path, "tls_certificate_sds_secret_configs", i), c))
	}
	switch v := m.GetValidationContextType().(type) {
	case *tlsv3.CommonTlsContext_ValidationContext:
		r.validation(path+".validation_context", v.ValidationContext, nil, &out)
	case *tlsv3.CommonTlsContext_ValidationContextSdsSecretConfig:
		roots := r.sds(path+".validation_context_sds_secret_config", v.ValidationContextSdsSecretConfig)
		out.Roots = &roots
	case *tlsv3.CommonTlsContext_CombinedValidationContext:
		p := path + ".combined_validation_context"
		roots := r.sds(p+".validation_context_sds_secret_config", v.CombinedValidationContext.GetValidationContextSdsSecretConfig())
		if v.CombinedValidationContext.GetDefaultValidationContext().GetTrustedCa() != nil {
			r.add(p+".default_validation_context.trusted_ca", "the roots are those of validation_context_sds_secret_config")
		}
		r.validation(p+".default_validation_context", v.CombinedValidationContext.GetDefaultValidationContext(), &roots, &out)
	}
	return out
}

func (r *read) certificate(path string, m *tlsv3.TlsCertificate) config.SecretRef {
	out := config.SecretRef{Certificate: r.data(path+".certificate_chain", m.GetCertificateChain()), Key: r.data(path+".private_key", m.GetPrivateKey())}
	if len(out.Certificate) == 0 || len(out.Key) == 0 {
		r.add(path, "want certificate_chain and private_key")
		return out
	}
	if _, err := tls.X509KeyPair(out.Certificate, out.Key); err != nil {
		r.add(path+culprit(out.Certificate, out.Key), "%v", err)
	}
	return out
}

// culprit is the field that makes a pair useless, "" when each is fine by itself.
func culprit(certificate, key []byte) string {
	if checkRoots(certificate) != nil {
		return ".certificate_chain"
	}
	if block, _ := pem.Decode(key); block == nil || !strings.HasSuffix(block.Type, "PRIVATE KEY") {
		return ".private_key"
	}
	return ""
}

// sds reads a reference to a secret. The workload's own are kept beside the proxy, others come over ADS or from the bootstrap (no sds_config).
func (r *read) sds(path string, m *tlsv3.SdsSecretConfig) config.SecretRef {
	out := config.SecretRef{Name: m.GetName(), Local: r.d.Identity && (m.GetName() == "default" || m.GetName() == "ROOTCA")}
	if out.Name == "" {
		r.add(path+".name", "it is empty")
	}
	if source := m.GetSdsConfig(); source != nil && !out.Local {
		r.adsOnly(path+".sds_config", source)
	}
	out.Wait = r.duration(path+".sds_config.initial_fetch_timeout", m.GetSdsConfig().GetInitialFetchTimeout(), defaultWait)
	return out
}

func (r *read) validation(path string, m *tlsv3.CertificateValidationContext, sds *config.SecretRef, out *config.TLSParams) {
	out.Roots = sds
	if m.GetTrustedCa() != nil {
		out.Roots = &config.SecretRef{Roots: r.data(path+".trusted_ca", m.GetTrustedCa())}
		r.roots(path+".trusted_ca", out.Roots.Roots)
	}
	if sds == nil {
		r.revoked(path, m, out.Roots)
	} else {
		for field, set := range map[string]bool{".crl": m.GetCrl() != nil, ".only_verify_leaf_cert_crl": m.GetOnlyVerifyLeafCertCrl()} {
			if set {
				r.add(path+field, "the revocation lists are those of validation_context_sds_secret_config")
			}
		}
	}
	out.TrustUnverified = m.GetTrustChainVerification() == tlsv3.CertificateValidationContext_ACCEPT_UNTRUSTED
	for i, text := range m.GetVerifyCertificateSpki() {
		b, err := base64.StdEncoding.DecodeString(text)
		out.Keys = append(out.Keys, r.sha256(at(path, "verify_certificate_spki", i), b, err))
	}
	for i, text := range m.GetVerifyCertificateHash() {
		b, err := hex.DecodeString(strings.ReplaceAll(text, ":", ""))
		out.Hashes = append(out.Hashes, r.sha256(at(path, "verify_certificate_hash", i), b, err))
	}
	for i, s := range m.GetMatchTypedSubjectAltNames() {
		p := at(path, "match_typed_subject_alt_names", i)
		kind := map[tlsv3.SubjectAltNameMatcher_SanType]config.SANKind{
			tlsv3.SubjectAltNameMatcher_URI: config.URISAN, tlsv3.SubjectAltNameMatcher_DNS: config.DNSSAN, tlsv3.SubjectAltNameMatcher_IP_ADDRESS: config.IPSAN, tlsv3.SubjectAltNameMatcher_EMAIL: config.EmailSAN,
		}[s.GetSanType()]
		if match := r.stringMatch(p+".matcher", s.GetMatcher()); match != nil {
			out.SANs = append(out.SANs, config.SANMatch{Kind: kind, Match: *match})
		}
	}
	for i, s := range m.GetMatchSubjectAltNames() {
		if match := r.stringMatch(at(path, "match_subject_alt_names", i), s); match != nil {
			out.SANs = append(out.SANs, config.SANMatch{Kind: config.AnySAN, Match: *match})
		}
	}
	if len(out.SANs) > 0 && out.Roots == nil {
		r.add(path, "names without trusted_ca prove nothing: anybody can make such a certificate")
	}
}

// sha256 checks that bytes are as many as SHA-256 gives.
func (r *read) sha256(path string, b []byte, err error) (out [32]byte) {
	if err != nil || len(b) != len(out) {
		r.add(path, "it is not a SHA-256 hash")
	}
	copy(out[:], b)
	return out
}

// revoked reads revocation lists beside trusted_ca.
func (r *read) revoked(path string, m *tlsv3.CertificateValidationContext, into *config.SecretRef) {
	if m.GetCrl() == nil {
		if m.GetOnlyVerifyLeafCertCrl() {
			r.add(path+".only_verify_leaf_cert_crl", "there is no crl to verify by")
		}
		return
	}
	if into == nil {
		r.add(path+".crl", "without trusted_ca there is nobody whose certificates could be revoked")
		return
	}
	var err error
	if into.Revoked, err = revocationLists(r.data(path+".crl", m.GetCrl())); err != nil {
		r.add(path+".crl", "%v", err)
	}
	into.LeafCRL = m.GetOnlyVerifyLeafCertCrl()
}

func (r *read) roots(path string, pem []byte) {
	if err := checkRoots(pem); err != nil {
		r.add(path, "%v", err)
	}
}

func (r *read) secret(path string, m *tlsv3.Secret) *config.SecretRef {
	out := &config.SecretRef{Name: m.GetName()}
	switch {
	case m.GetTlsCertificate() != nil:
		c := r.certificate(join(path, "tls_certificate"), m.GetTlsCertificate())
		out.Certificate, out.Key = c.Certificate, c.Key
	case m.GetValidationContext() != nil:
		v := m.GetValidationContext()
		p := join(path, "validation_context")
		out.Roots = r.data(p+".trusted_ca", v.GetTrustedCa())
		r.roots(p+".trusted_ca", out.Roots)
		r.revoked(p, v, out)
		if len(v.GetMatchTypedSubjectAltNames())+len(v.GetMatchSubjectAltNames())+len(v.GetVerifyCertificateSpki())+len(v.GetVerifyCertificateHash()) > 0 || v.GetTrustChainVerification() != 0 {
			r.add(p, "names are matched by the default_validation_context of the listener or cluster only")
		}
	default:
		r.add(path, "neither tls_certificate nor validation_context is set")
	}
	return out
}

var errNoRoots = fmt.Errorf("it holds no PEM certificate")
