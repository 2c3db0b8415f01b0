package secret

import (
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	proxytls "github.com/heddle-mesh/heddle/data/proxy/tls"
)

// Store resolves the secrets that listeners and clusters refer to. It implements tls.Secrets: a source exists as soon as somebody asks for its name, and is filled when
// the secret comes. Safe for concurrent use.
type Store struct {
	Log *slog.Logger

	mu           sync.Mutex
	certificates map[string]*proxytls.Source[proxytls.Certificates]
	trust        map[string]*proxytls.Source[proxytls.Trust]
}

// local separates the workload's own names from those of the control plane.
const local = "local:"

func key(ref config.SecretRef) string {
	if ref.Local {
		return local + ref.Name
	}
	return ref.Name
}

func source[T any](m *map[string]*proxytls.Source[T], name string) *proxytls.Source[T] {
	if *m == nil {
		*m = map[string]*proxytls.Source[T]{}
	}
	s := (*m)[name]
	if s == nil {
		s = &proxytls.Source[T]{}
		(*m)[name] = s
	}
	return s
}

// Certificates implements tls.Secrets.
func (s *Store) Certificates(ref config.SecretRef) *proxytls.Source[proxytls.Certificates] {
	if ref.Name == "" {
		c, err := proxytls.ParseCertificates(ref.Certificate, ref.Key)
		if err != nil {
			return nil
		}
		return proxytls.NewSource(c)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return source(&s.certificates, key(ref))
}

// Trust implements tls.Secrets.
func (s *Store) Trust(ref config.SecretRef) *proxytls.Source[proxytls.Trust] {
	if ref.Name == "" {
		t, err := proxytls.TrustOf(&ref)
		if err != nil {
			return nil
		}
		return proxytls.NewSource(t)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return source(&s.trust, key(ref))
}

// Set takes a secret of the control plane or the bootstrap; nil: it was removed, and what needs it fails closed.
func (s *Store) Set(name string, ref *config.SecretRef) {
	var certificates *proxytls.Certificates
	var trust *proxytls.Trust
	var err error
	if ref != nil && len(ref.Certificate) > 0 {
		certificates, err = proxytls.ParseCertificates(ref.Certificate, ref.Key)
	} else if ref != nil {
		trust, err = proxytls.TrustOf(ref)
	}
	if err != nil {
		s.Log.Error("secret not used, the former one stays", "name", name, "error", err) // package decode has looked at it before
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	source(&s.certificates, name).Store(certificates)
	source(&s.trust, name).Store(trust)
}

// SetIdentity takes the workload's own certificate and roots.
func (s *Store) SetIdentity(id *SVID) {
	c, err := proxytls.NewCertificates(tls.Certificate{Certificate: id.TLS.Certificate, PrivateKey: id.TLS.PrivateKey, Leaf: id.Leaf})
	if err != nil {
		s.Log.Error("certificate not used, the former one stays", "error", err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	source(&s.certificates, local+Default).Store(c)
	source(&s.trust, local+RootCA).Store(&proxytls.Trust{Pool: id.Roots, Anchors: len(id.roots)})
}

// Held is one secret that is there, for operators.
type Held struct {
	Name  string
	Chain []*x509.Certificate // of the first certificate: the leaf
	Local bool
}

// Held lists the certificates that are there.
func (s *Store) Held() (out []Held) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, src := range s.certificates {
		if c := src.Load(); c != nil {
			bare, isLocal := strings.CutPrefix(name, local)
			h := Held{Name: bare, Local: isLocal}
			for _, chain := range c.Chains {
				h.Chain = append(h.Chain, chain.Leaf)
			}
			out = append(out, h)
		}
	}
	slices.SortFunc(out, func(a, b Held) int { return strings.Compare(a.Name, b.Name) })
	return out
}
