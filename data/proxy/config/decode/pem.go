package decode

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

var errNoLists = errors.New("it holds no PEM revocation list (X509 CRL)")

// checkRoots says whether a PEM text holds certificates, and only ones that can be read.
func checkRoots(text []byte) error {
	found := false
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return fmt.Errorf("a root does not parse: %w", err)
		}
		found = true
	}
	if !found {
		return errNoRoots
	}
	return nil
}

// revocationLists reads PEM lists of revoked certificates; none is an error.
func revocationLists(text []byte) (lists []*x509.RevocationList, err error) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "X509 CRL" {
			continue
		}
		list, err := x509.ParseRevocationList(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("a list does not parse: %w", err)
		}
		for _, e := range list.Extensions {
			if e.Critical {
				return nil, fmt.Errorf("the list of %s has the critical extension %s: lists of a part, and lists of differences, are not supported", list.Issuer, e.Id)
			}
		}
		lists = append(lists, list)
	}
	if len(lists) == 0 {
		return nil, errNoLists
	}
	return lists, nil
}
