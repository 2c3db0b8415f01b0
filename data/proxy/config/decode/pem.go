package decode

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
)

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
