package tls

import (
	"crypto/x509"
	"errors"
	"fmt"
	"sync"
	"time"
)

// revocations are the lists of revoked certificates beside a set of trust anchors. Where there are any, every certificate of a chain (or the leaf alone) must be on a list that
// is in force, as one that is not revoked: what nobody speaks for is refused, as OpenSSL does (X509_V_FLAG_CRL_CHECK). Safe for concurrent use.
type revocations struct {
	byIssuer map[string][]*revocationList
	leafOnly bool
}

type revocationList struct {
	*x509.RevocationList
	serials map[string]bool

	mu     sync.Mutex
	signer string // public key that was found to have signed the list; it is not looked at again
}

// The reasons, in OpenSSL's words.
const (
	notListed    = "unable to get certificate CRL"
	listExpired  = "CRL has expired"
	listTooEarly = "CRL is not yet valid"
	isRevoked    = "certificate revoked"
)

var errRevoked = errors.New("the certificate is revoked, or no list in force says that it is not")

// newRevocations orders lists by their issuers.
func newRevocations(lists []*x509.RevocationList, leafOnly bool) *revocations {
	r := &revocations{byIssuer: map[string][]*revocationList{}, leafOnly: leafOnly}
	for _, list := range lists {
		one := &revocationList{RevocationList: list, serials: make(map[string]bool, len(list.RevokedCertificateEntries))}
		for _, e := range list.RevokedCertificateEntries {
			one.serials[string(e.SerialNumber.Bytes())] = true
		}
		r.byIssuer[string(list.RawIssuer)] = append(r.byIssuer[string(list.RawIssuer)], one)
	}
	return r
}

// check looks at a verified chain, leaf first. The anchor at its end is trusted as it is.
func (r *revocations) check(chain []*x509.Certificate, now time.Time) error {
	for i := range chain[:len(chain)-1] {
		if r.leafOnly && i > 0 {
			break
		}
		if reason := r.standing(chain[i], chain[i+1], now); reason != "" {
			return &verifyError{fmt.Sprintf("X509_verify_cert: certificate verification error at depth %d: %s", i, reason), errRevoked}
		}
	}
	return nil
}

// standing is why a certificate is refused, "" if it is not. A list in force goes before one that is out of date; any that names the certificate counts.
func (r *revocations) standing(c, issuer *x509.Certificate, now time.Time) string {
	verdict := notListed
	for _, l := range r.byIssuer[string(c.RawIssuer)] {
		switch {
		case !l.signedBy(issuer):
		case l.serials[string(c.SerialNumber.Bytes())]:
			return isRevoked
		case now.Before(l.ThisUpdate):
			if verdict != "" {
				verdict = listTooEarly
			}
		case !l.NextUpdate.IsZero() && now.After(l.NextUpdate):
			if verdict != "" {
				verdict = listExpired
			}
		default:
			verdict = ""
		}
	}
	return verdict
}

func (l *revocationList) signedBy(issuer *x509.Certificate) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := string(issuer.RawSubjectPublicKeyInfo)
	if l.signer != "" {
		return l.signer == key
	}
	if l.CheckSignatureFrom(issuer) != nil {
		return false
	}
	l.signer = key
	return true
}
