// Package plane is a control plane inside a Go test.
//
// In: a folder with config (objects), tokens and meshconfig.yaml. Out: a heddled at the folder's xds.sock, and what its pages say. What it keeps stays in the folder, so that a
// second one goes on with it.
package plane

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/heddle-mesh/heddle/control/server"
)

// Plane is a heddled.
type Plane struct {
	server *server.Server
	token  string // file that its pages want
}

// New makes the heddled of a folder; Run runs it.
func New(ctx context.Context, dir string, log *slog.Logger) (*Plane, error) {
	in := func(name string) string { return filepath.Join(dir, name) }
	s, err := server.New(ctx, server.Options{
		ConfigDir: in("config"), MeshConfig: in("meshconfig.yaml"), XDSSockets: []string{in("xds.sock")}, XDSTLSAddress: "127.0.0.1:0", HTTPAddress: "127.0.0.1:0",
		TokenFile: in("debug-token"), JoinTokens: in("tokens"), StateDir: in("state"), Log: log, EntryGrace: time.Second,
	})
	return &Plane{server: s, token: in("debug-token")}, err
}

// Run serves until the context ends.
func (p *Plane) Run(ctx context.Context) error { return p.server.Run(ctx) }

// Secure is where it serves xDS and certificates over TLS.
func (p *Plane) Secure() string { return p.server.XDSAddresses()[0] }

// Disconnect ends the streams of a proxy, NAME.NAMESPACE; they come back by themselves.
func (p *Plane) Disconnect(proxy string) error {
	return p.ask(http.MethodPost, "/debug/force_disconnect?proxy="+proxy, nil)
}

// Ready says whether it serves.
func (p *Plane) Ready() bool { return p.page("/ready", nil) == nil }

// Settled says whether nothing is under way to any of n clients; the text changes when something was.
func (p *Plane) Settled(n int) (string, bool) {
	var c struct {
		Clients []struct {
			Node    string
			Watches []struct {
				Type, Sent, Acked string
				Synced            bool
				Refused           []string
			}
		}
	}
	if p.page("/debug/connections", &c) != nil {
		return "", false
	}
	var text strings.Builder
	ok := len(c.Clients) >= n
	for _, client := range c.Clients {
		for _, x := range client.Watches {
			ok = ok && (x.Synced || len(x.Refused) > 0)
			fmt.Fprintln(&text, client.Node, x.Type, x.Sent, x.Acked, x.Synced, x.Refused)
		}
	}
	return text.String(), ok
}

// Problems is what it says is wrong with the objects.
func (p *Plane) Problems() ([]string, error) {
	var s struct {
		Problems []struct{ Object, Field, Code, Message string }
	}
	err := p.page("/debug/status", &s)
	var out []string
	for _, p := range s.Problems {
		out = append(out, fmt.Sprintf("%s %s %s: %s", p.Object, p.Code, p.Field, p.Message))
	}
	return out, err
}

// page reads one of its pages.
func (p *Plane) page(path string, into any) error { return p.ask(http.MethodGet, path, into) }

func (p *Plane) ask(method, path string, into any) error {
	req, err := http.NewRequest(method, "http://"+p.server.HTTPAddress()+path, nil)
	if err != nil {
		return err
	}
	if secret, err := os.ReadFile(p.token); err == nil {
		req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(secret)))
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	if into == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(into)
}

// Log is what many write, and a test shows when it fails.
type Log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// String is all of it.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
