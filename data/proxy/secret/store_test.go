package secret

import (
	"log/slog"
	"testing"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	proxytls "github.com/heddle-mesh/heddle/data/proxy/tls"
)

var _ proxytls.Secrets = (*Store)(nil)

func TestStoreFillsSources(t *testing.T) {
	id, err := Request(t.Context(), newAuthority(t), id, time.Hour, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	s := &Store{Log: slog.New(slog.DiscardHandler)}
	own, roots := s.Certificates(config.SecretRef{Name: Default, Local: true}), s.Trust(config.SecretRef{Name: RootCA, Local: true})
	other := s.Certificates(config.SecretRef{Name: Default}) // the same name, of the control plane
	if own == other || own.Load() != nil || roots.Load() != nil {
		t.Error("sources are mixed up or filled too early")
	}
	s.SetIdentity(id)
	if own.Load() == nil || own.Load().URIs[0] != id.ID || roots.Load() == nil || other.Load() != nil {
		t.Error("the own identity did not arrive")
	}
	s.Set(Default, &config.SecretRef{Certificate: id.ChainPEM, Key: id.KeyPEM})
	if other.Load() == nil || len(s.Held()) != 2 {
		t.Error("the secret did not arrive")
	}
	s.Set(Default, &config.SecretRef{Certificate: []byte("broken"), Key: id.KeyPEM})
	if other.Load() == nil {
		t.Error("a broken secret replaced a good one")
	}
	s.Set(Default, nil)
	if other.Load() != nil {
		t.Error("a removed secret is still there")
	}
	if s.Certificates(config.SecretRef{Certificate: id.ChainPEM, Key: id.KeyPEM}).Load() == nil || s.Trust(config.SecretRef{Roots: id.RootsPEM}).Load() == nil || s.Trust(config.SecretRef{}) != nil {
		t.Error("inline secrets")
	}
}
