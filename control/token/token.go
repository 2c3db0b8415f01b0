// Package token holds join tokens: opaque random secrets, each of which stands for one service account.
//
// In: a bearer token. Out: the claims that it stands for, or one clear error. A Folder is safe for concurrent use.
package token

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Audience is the audience that heddled asks for; Istio's agents ask for IstioAudience.
const (
	Audience      = "heddle"
	IstioAudience = "istio-ca"
)

// ErrUnknown is the error for a token that nobody issued or that was withdrawn.
var ErrUnknown = errors.New("the token is not known here; ask for a new join token")

// Claims is what a token stands for.
type Claims struct {
	Namespace      string    `json:"namespace"`
	ServiceAccount string    `json:"serviceAccount"`
	Audience       string    `json:"audience,omitempty"` // "" is Audience
	Expires        time.Time `json:"expires,omitzero"`   // zero: never
}

// Reviewer tells what a token stands for: a Folder, or Kubernetes' TokenReview.
type Reviewer interface {
	Review(ctx context.Context, token string) (Claims, error)
}

// Reviewers asks each in turn and answers with the first that knows the token.
type Reviewers []Reviewer

// Review returns the claims, or the error of the last one asked.
func (rs Reviewers) Review(ctx context.Context, token string) (Claims, error) {
	err := ErrUnknown
	for _, r := range rs {
		var c Claims
		if c, err = r.Review(ctx, token); err == nil {
			return c, nil
		}
	}
	return Claims{}, err
}

// file is what a join-token file holds.
type file struct {
	Token string `json:"token"`
	Claims
}

type entry struct {
	hash   [sha256.Size]byte
	claims Claims
	name   string
}

// Folder reads join tokens from a folder, one JSON file each. A new file counts at once; removing one withdraws its token within a second.
type Folder struct {
	dir string
	now func() time.Time

	mu      sync.Mutex
	read    time.Time
	changed time.Time // of the folder, when it was read
	entries []entry
	broken  []error
}

// Open reads the folder once, so that a wrong path is told at start.
func Open(dir string) (*Folder, error) {
	f := &Folder{dir: dir, now: time.Now}
	if err := f.reload(); err != nil {
		return nil, fmt.Errorf("read join tokens %s: %w; create the folder or change --join-tokens", dir, err)
	}
	return f, nil
}

// Review compares with every token in constant time, so that timing tells nothing about how much of a guess was right.
func (f *Folder) Review(_ context.Context, token string) (Claims, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	if now.Sub(f.read) > time.Second {
		// A folder that cannot be read at this moment keeps the tokens known so far.
		if err := f.reload(); err != nil {
			f.broken = []error{fmt.Errorf("read join tokens %s: %w", f.dir, err)}
		}
	}
	found := f.find(token)
	if found < 0 && f.stale() && f.reload() == nil {
		found = f.find(token)
	}
	if found < 0 || token == "" {
		return Claims{}, ErrUnknown
	}
	c := f.entries[found].claims
	if !c.Expires.IsZero() && now.After(c.Expires) {
		return Claims{}, fmt.Errorf("the join token %q expired at %s; ask for a new one", f.entries[found].name, c.Expires.Format(time.RFC3339))
	}
	if c.Audience != "" && c.Audience != Audience && c.Audience != IstioAudience {
		return Claims{}, fmt.Errorf("the join token %q is for audience %q, not for %q", f.entries[found].name, c.Audience, Audience)
	}
	return c, nil
}

func (f *Folder) find(token string) int {
	hash, found := sha256.Sum256([]byte(token)), -1
	for i := range f.entries {
		if subtle.ConstantTimeCompare(hash[:], f.entries[i].hash[:]) == 1 {
			found = i
		}
	}
	return found
}

// stale says whether the folder got or lost a file since it was read.
func (f *Folder) stale() bool {
	at, err := os.Stat(f.dir)
	return err == nil && !at.ModTime().Equal(f.changed)
}

// Broken tells what is wrong with files of the folder; they are left out.
func (f *Folder) Broken() []error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.broken)
}

func (f *Folder) reload() error {
	at, err := os.Stat(f.dir) // before it is read: what comes meanwhile is read again
	if err != nil {
		return err
	}
	names, err := os.ReadDir(f.dir)
	if err != nil {
		return err
	}
	f.changed = at.ModTime()
	f.read, f.entries, f.broken = f.now(), nil, nil
	for _, n := range names {
		if n.IsDir() || n.Name()[0] == '.' {
			continue
		}
		e, err := readEntry(filepath.Join(f.dir, n.Name()))
		if err != nil {
			f.broken = append(f.broken, fmt.Errorf("read join token %s: %w", n.Name(), err))
			continue
		}
		f.entries = append(f.entries, e)
	}
	return nil
}

func readEntry(path string) (entry, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return entry{}, err
	}
	return decodeEntry(filepath.Base(path), b)
}

func decodeEntry(name string, b []byte) (entry, error) {
	var in file
	if err := json.Unmarshal(b, &in); err != nil {
		return entry{}, fmt.Errorf("want JSON with token, namespace and serviceAccount: %w", err)
	}
	if len(in.Token) < 20 || in.Namespace == "" || in.ServiceAccount == "" {
		return entry{}, errors.New("want a token of at least 20 characters, a namespace and a serviceAccount")
	}
	return entry{hash: sha256.Sum256([]byte(in.Token)), claims: in.Claims, name: name}, nil
}

// New makes an opaque token of 256 random bits.
func New() string {
	var b [32]byte
	rand.Read(b[:]) // never fails (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// Issue writes a join token with its claims to DIR/NAME, readable by the owner only, and returns the token.
func Issue(dir, name string, c Claims) (string, error) {
	t := New()
	b, err := json.Marshal(file{Token: t, Claims: c})
	if err != nil {
		return "", fmt.Errorf("issue join token %s: %w", name, err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("issue join token %s: %w", name, err)
	}
	// The dot keeps a half-written file from being read; the rename makes it appear whole.
	part := filepath.Join(dir, "."+name)
	if err := os.WriteFile(part, append(b, '\n'), 0o600); err != nil {
		return "", fmt.Errorf("issue join token %s: %w", name, err)
	}
	if err := os.Rename(part, filepath.Join(dir, name)); err != nil {
		return "", fmt.Errorf("issue join token %s: %w", name, err)
	}
	return t, nil
}

// ReadOrCreate returns the secret in a file, and makes the file (mode 0600) with a new one when there is none. An empty file is an error.
func ReadOrCreate(path string) (string, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		b, err := os.ReadFile(path)
		if err != nil {
			return "", fmt.Errorf("read token file: %w", err)
		}
		t := strings.TrimSpace(string(b))
		if t == "" {
			return "", fmt.Errorf("read token file %s: it is empty; remove it and a new token is made", path)
		}
		return t, nil
	}
	if err != nil {
		return "", fmt.Errorf("create token file: %w", err)
	}
	t := New()
	_, err = f.WriteString(t + "\n")
	if err = errors.Join(err, f.Close()); err != nil {
		return "", fmt.Errorf("write token file %s: %w", path, err)
	}
	return t, nil
}

// Equal compares two secrets in constant time.
func Equal(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1 && a != ""
}
