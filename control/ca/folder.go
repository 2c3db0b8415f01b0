package ca

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/heddle-mesh/heddle/identity"
)

// The files of an authority, named as Istio names those of a plugged-in one: whoever has an intermediate of their own puts it there.
const (
	certFile  = "ca-cert.pem"
	keyFile   = "ca-key.pem"
	chainFile = "cert-chain.pem"
	rootFile  = "root-cert.pem"
)

// Open loads the authority from a folder, and makes a self-signed one there when the folder has none.
func Open(dir string, domain identity.TrustDomain) (*Authority, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open the authority in %s: %w", dir, err)
	}
	if _, err := os.Stat(filepath.Join(dir, certFile)); errors.Is(err, os.ErrNotExist) {
		if err := create(dir, domain); err != nil {
			return nil, fmt.Errorf("make an authority in %s: %w", dir, err)
		}
	}
	a, err := load(dir, domain)
	if err != nil {
		return nil, fmt.Errorf("open the authority in %s: %w; restore the files from a backup, or remove them to get a new authority (every proxy must then join again)", dir, err)
	}
	return a, nil
}

func create(dir string, domain identity.TrustDomain) error {
	key, der, err := newRoot(domain, time.Now())
	if err != nil {
		return err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	// The certificate comes last: its presence says that the rest is complete.
	for _, f := range []struct {
		name string
		data []byte
		mode os.FileMode
	}{
		{keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600},
		{rootFile, cert, 0o644},
		{certFile, cert, 0o644},
	} {
		if err := write(filepath.Join(dir, f.name), f.data, f.mode); err != nil {
			return err
		}
	}
	return nil
}

// write replaces a file as a whole.
func write(path string, data []byte, mode os.FileMode) error {
	part := path + ".part"
	if err := os.WriteFile(part, data, mode); err != nil {
		return err
	}
	return os.Rename(part, path)
}

func load(dir string, domain identity.TrustDomain) (*Authority, error) {
	certPEM, err := os.ReadFile(filepath.Join(dir, certFile))
	if err != nil {
		return nil, err
	}
	keyPEM, err := os.ReadFile(filepath.Join(dir, keyFile))
	if err != nil {
		return nil, err
	}
	roots, err := os.ReadFile(filepath.Join(dir, rootFile))
	if err != nil {
		return nil, err
	}
	chain, err := os.ReadFile(filepath.Join(dir, chainFile))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	issuer, err := certificate(certPEM)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", certFile, err)
	}
	signer, err := privateKey(keyPEM)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", keyFile, err)
	}
	if k, ok := signer.Public().(interface{ Equal(crypto.PublicKey) bool }); !ok || !k.Equal(issuer.PublicKey) {
		return nil, fmt.Errorf("%s is not the key of %s", keyFile, certFile)
	}
	if !issuer.IsCA {
		return nil, fmt.Errorf("%s is not the certificate of an authority (basic constraints)", certFile)
	}
	a := &Authority{domain: domain, signer: signer, issuer: issuer, roots: roots, now: time.Now}
	if !bytes.Equal(issuer.RawSubject, issuer.RawIssuer) {
		a.chain = append(append([]byte{}, certPEM...), chain...)
	}
	return a, a.selfCheck()
}

// selfCheck proves that what the authority signs verifies with its roots.
func (a *Authority) selfCheck() error {
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	if !roots.AppendCertsFromPEM(a.roots) {
		return fmt.Errorf("%s holds no certificate", rootFile)
	}
	between.AppendCertsFromPEM(a.chain)
	_, err := a.issuer.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if err != nil {
		return fmt.Errorf("%s does not verify with %s: %w", certFile, rootFile, err)
	}
	return nil
}

func certificate(data []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("no PEM certificate in it")
	}
	return x509.ParseCertificate(block.Bytes)
}

func privateKey(data []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, errors.New("no PEM key in it")
	}
	switch block.Type {
	case "EC PRIVATE KEY":
		return x509.ParseECPrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		return x509.ParsePKCS1PrivateKey(block.Bytes)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, errors.New("the key cannot sign")
	}
	return signer, nil
}

// Files are an authority's files by their names, to be kept elsewhere as well.
func Files(dir string) (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, name := range []string{certFile, keyFile, chainFile, rootFile} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if errors.Is(err, os.ErrNotExist) && name == chainFile {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read the authority in %s: %w", dir, err)
		}
		files[name] = data
	}
	return files, nil
}

// Restore makes a folder hold an authority's files, and not those of another one.
func Restore(dir string, files map[string][]byte) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("restore the authority in %s: %w", dir, err)
	}
	for _, name := range []string{keyFile, chainFile, rootFile, certFile} {
		data, ok := files[name]
		var err error
		switch {
		case ok:
			err = write(filepath.Join(dir, name), data, 0o600)
		case name == chainFile:
			if err = os.Remove(filepath.Join(dir, name)); errors.Is(err, os.ErrNotExist) {
				err = nil
			}
		default:
			err = fmt.Errorf("%s is missing", name)
		}
		if err != nil {
			return fmt.Errorf("restore the authority in %s: %w", dir, err)
		}
	}
	return nil
}
