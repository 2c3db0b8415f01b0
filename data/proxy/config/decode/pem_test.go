package decode

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"
)

func TestRevocationListsThatCannotBeRead(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	delta, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{Number: big.NewInt(2), ThisUpdate: time.Now(), NextUpdate: time.Now().Add(time.Hour),
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 27}, Critical: true, Value: []byte{2, 1, 1}}}}, &x509.Certificate{KeyUsage: x509.KeyUsageCRLSign, SubjectKeyId: []byte{1}}, key)
	if err != nil {
		t.Fatal(err)
	}
	for want, text := range map[string]string{
		"no PEM revocation list": certPEM,
		"critical extension":     string(pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: delta})),
		"does not parse":         revokedPEM + string(pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: []byte("x")})),
	} {
		if lists, err := revocationLists([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%d lists, %v, want %q", len(lists), err, want)
		}
	}
	if lists, err := revocationLists([]byte(revokedPEM + revokedPEM)); len(lists) != 2 || err != nil {
		t.Errorf("%d lists, %v", len(lists), err)
	}
}
