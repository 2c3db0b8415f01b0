package admin

import (
	"crypto/x509"

	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
)

func details(path string, c *x509.Certificate) *adminv3.CertificateDetails {
	d := &adminv3.CertificateDetails{
		Path: path, SerialNumber: c.SerialNumber.Text(16), DaysUntilExpiration: daysLeft(c.NotAfter), ValidFrom: stamp(c.NotBefore), ExpirationTime: stamp(c.NotAfter),
	}
	for _, u := range c.URIs {
		d.SubjectAltNames = append(d.SubjectAltNames, &adminv3.SubjectAlternateName{Name: &adminv3.SubjectAlternateName_Uri{Uri: u.String()}})
	}
	for _, n := range c.DNSNames {
		d.SubjectAltNames = append(d.SubjectAltNames, &adminv3.SubjectAlternateName{Name: &adminv3.SubjectAlternateName_Dns{Dns: n}})
	}
	return d
}
