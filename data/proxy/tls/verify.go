package tls

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
)

// verifyError carries Envoy's reason of a refused certificate.
type verifyError struct {
	reason string
	err    error
}

// Error implements error.
func (e *verifyError) Error() string { return e.reason + ": " + e.err.Error() }

// Unwrap implements errors.Unwrap.
func (e *verifyError) Unwrap() error { return e.err }

var (
	errNoCertificate = errors.New("peer did not return a certificate")
	errHash          = errors.New("neither the certificate of the peer nor its key is one of those that are known")
	errSAN           = errors.New("no subject alternative name of the peer is accepted")
	errNoTrust       = errors.New("no trust anchors have been received yet")
)

// verifier checks a peer in VerifyConnection, so that a resumed session is checked as well.
type verifier struct {
	params  *config.TLSParams
	verify  bool
	trust   *Trust
	require bool
	usage   x509.ExtKeyUsage
}

func (v *verifier) check(s tls.ConnectionState, now time.Time) error {
	if len(s.PeerCertificates) == 0 {
		if v.require {
			return errNoCertificate
		}
		return nil
	}
	leaf := s.PeerCertificates[0]
	if v.verify {
		if v.trust == nil {
			return &verifyError{"unable to get local issuer certificate", errNoTrust} // fail closed
		}
		o := x509.VerifyOptions{Roots: v.trust.Pool, Intermediates: x509.NewCertPool(), CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{v.usage}}
		for _, c := range s.PeerCertificates[1:] {
			o.Intermediates.AddCert(c)
		}
		chains, err := leaf.Verify(o)
		if err != nil {
			return &verifyError{chainReason(err), err}
		}
		if err := v.trust.revocation(chains, now); err != nil {
			return err
		}
	}
	if len(v.params.Keys)+len(v.params.Hashes) > 0 && !slices.Contains(v.params.Keys, sha256.Sum256(leaf.RawSubjectPublicKeyInfo)) && !slices.Contains(v.params.Hashes, sha256.Sum256(leaf.Raw)) {
		return &verifyError{"verify hash", errHash} // Envoy's verify_certificate_hash and _spki: one of either is enough
	}
	if len(v.params.SANs) > 0 && !acceptsNames(v.params.SANs, leaf) {
		return &verifyError{"verify SAN list", errSAN}
	}
	return nil
}

// provesName checks besides that the peer's certificate is for a name (auto_san_validation).
func provesName(check func(tls.ConnectionState) error, name string) func(tls.ConnectionState) error {
	kind := config.DNSSAN
	if _, err := netip.ParseAddr(name); err == nil {
		kind = config.IPSAN
	}
	want := []config.SANMatch{{Kind: kind, Match: config.StringMatch{Kind: config.Exact, Value: name}}}
	return func(s tls.ConnectionState) error {
		if err := check(s); err != nil {
			return err
		}
		if len(s.PeerCertificates) == 0 || !acceptsNames(want, s.PeerCertificates[0]) {
			return &verifyError{"verify SAN list", errSAN}
		}
		return nil
	}
}

// chainReason is OpenSSL's text of a chain that does not verify.
func chainReason(err error) string {
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) {
		switch invalid.Reason {
		case x509.Expired:
			if time.Now().Before(invalid.Cert.NotBefore) {
				return "X509_verify_cert: certificate verification error at depth 0: certificate is not yet valid"
			}
			return "X509_verify_cert: certificate verification error at depth 0: certificate has expired"
		case x509.IncompatibleUsage:
			return "X509_verify_cert: certificate verification error at depth 0: unsuitable certificate purpose"
		}
	}
	return "X509_verify_cert: certificate verification error at depth 0: unable to get local issuer certificate"
}

func acceptsNames(accepted []config.SANMatch, leaf *x509.Certificate) bool {
	for i := range accepted {
		m := &accepted[i]
		of := func(kind config.SANKind) bool {
			return m.Kind == kind || m.Kind == config.AnySAN
		}
		if of(config.URISAN) {
			for _, u := range leaf.URIs {
				if accepts(&m.Match, u.String()) {
					return true
				}
			}
		}
		if of(config.DNSSAN) {
			for _, n := range leaf.DNSNames {
				if accepts(&m.Match, n) || m.Match.Kind == config.Exact && wildcard(n, m.Match.Value) {
					return true
				}
			}
		}
		if of(config.IPSAN) {
			for _, n := range leaf.IPAddresses {
				if accepts(&m.Match, n.String()) {
					return true
				}
			}
		}
		if m.Kind == config.EmailSAN && slices.ContainsFunc(leaf.EmailAddresses, func(n string) bool { return accepts(&m.Match, n) }) {
			return true
		}
	}
	return false
}

func accepts(m *config.StringMatch, name string) bool {
	if m.Kind == config.Regex {
		return m.Regex != nil && m.Regex.MatchString(name) // anchored by its decoder
	}
	if m.IgnoreCase {
		name = strings.ToLower(name)
	}
	switch m.Kind {
	case config.Exact:
		return name == m.Value
	case config.Prefix:
		return strings.HasPrefix(name, m.Value)
	case config.Suffix:
		return strings.HasSuffix(name, m.Value)
	}
	return strings.Contains(name, m.Value)
}

// wildcard says whether a certificate's "*.a.example" covers name: one label only (RFC 6125 section 6.4.3).
func wildcard(pattern, name string) bool {
	rest, ok := strings.CutPrefix(pattern, "*.")
	if !ok {
		return strings.EqualFold(pattern, name)
	}
	_, parent, ok := strings.Cut(name, ".")
	return ok && strings.EqualFold(parent, rest)
}

// facts gathers what later stages need of the peer.
func facts(s tls.ConnectionState) *loop.Peer {
	if len(s.PeerCertificates) == 0 {
		return nil
	}
	leaf := s.PeerCertificates[0]
	hash := sha256.Sum256(leaf.Raw)
	p := &loop.Peer{Hash: hex.EncodeToString(hash[:]), Subject: leaf.Subject.String(), Serial: leaf.SerialNumber.Text(16), DNS: leaf.DNSNames}
	for _, u := range leaf.URIs {
		p.URIs = append(p.URIs, u.String())
	}
	return p
}

// PEM is the URL-encoded PEM of a peer's leaf, or of its whole chain (the Cert and Chain keys of x-forwarded-client-cert).
func PEM(s *loop.TLSState, chain bool) string {
	certs := s.State.PeerCertificates
	if !chain && len(certs) > 1 {
		certs = certs[:1]
	}
	var b bytes.Buffer
	for _, c := range certs {
		_ = pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}) // a buffer does not fail
	}
	return strings.ReplaceAll(url.QueryEscape(b.String()), "+", "%20")
}
