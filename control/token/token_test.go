package token

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestFolder(t *testing.T) {
	dir := t.TempDir()
	good, err := Issue(dir, "shop-web", Claims{Namespace: "shop", ServiceAccount: "web"})
	if err != nil {
		t.Fatal(err)
	}
	late, _ := Issue(dir, "late", Claims{Namespace: "shop", ServiceAccount: "late", Expires: time.Now().Add(-time.Minute)})
	other, _ := Issue(dir, "other", Claims{Namespace: "shop", ServiceAccount: "other", Audience: "vault"})
	if err := os.WriteFile(filepath.Join(dir, "broken"), []byte(`{"token":"short"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Broken()) != 1 || !strings.Contains(f.Broken()[0].Error(), "broken") {
		t.Errorf("Broken() = %v", f.Broken())
	}
	c, err := f.Review(context.Background(), good)
	if err != nil || c.Namespace != "shop" || c.ServiceAccount != "web" {
		t.Errorf("good token: %+v, %v", c, err)
	}
	for name, tok := range map[string]string{"expired": late, "audience": other, "empty": "", "guess": good[:len(good)-1] + "_"} {
		if _, err := f.Review(context.Background(), tok); err == nil {
			t.Errorf("%s token was accepted", name)
		}
	}
	st, err := os.Stat(filepath.Join(dir, "shop-web"))
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
}

func TestWithdrawnTokenIsRefused(t *testing.T) {
	dir := t.TempDir()
	tok, _ := Issue(dir, "web", Claims{Namespace: "shop", ServiceAccount: "web"})
	f, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	f.now = func() time.Time { return now }
	if err := os.Remove(filepath.Join(dir, "web")); err != nil {
		t.Fatal(err)
	}
	now = now.Add(2 * time.Second)
	if _, err := f.Review(context.Background(), tok); !errors.Is(err, ErrUnknown) {
		t.Errorf("after removal: %v", err)
	}
}

func TestNewTokenCountsAtOnce(t *testing.T) {
	dir := t.TempDir()
	f, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	f.now = func() time.Time { return now } // stands still
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(dir, old, old); err != nil { // as if the folder had been read long ago
		t.Fatal(err)
	}
	tok, _ := Issue(dir, "web", Claims{Namespace: "shop", ServiceAccount: "web"})
	if c, err := f.Review(context.Background(), tok); err != nil || c.ServiceAccount != "web" {
		t.Error(c, err)
	}
}

func TestReadOrCreate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "debug-token")
	a, err := ReadOrCreate(path)
	if err != nil {
		t.Fatal(err)
	}
	b, err := ReadOrCreate(path)
	if err != nil || a != b || !Equal(a, b) || Equal(a, "") {
		t.Errorf("%q, %q, %v", a, b, err)
	}
	if st, _ := os.Stat(path); st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", st.Mode())
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadOrCreate(path); err == nil {
		t.Error("an empty token file was accepted")
	}
}

func FuzzDecodeEntry(f *testing.F) {
	f.Add([]byte(`{"token":"0123456789012345678901","namespace":"a","serviceAccount":"b","expires":"2026-01-01T00:00:00Z"}`))
	f.Add([]byte(`{"token":1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if e, err := decodeEntry("x", b); err == nil && (e.claims.Namespace == "" || e.claims.ServiceAccount == "") {
			t.Error("claims without a namespace or account")
		}
	})
}
