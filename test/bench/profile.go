package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
)

// profile keeps where heddle-proxy spends its time, from a load of its own, in files for go tool pprof.
func (b *bench) profile(load func(running) (int, error)) error {
	if b.profiles == "" {
		return nil
	}
	if err := os.MkdirAll(b.profiles, 0o755); err != nil {
		return err
	}
	for _, r := range b.running {
		if r.path != heddlePath {
			continue
		}
		done := make(chan error, 1)
		go func() { done <- b.fetchProfile(r) }()
		_, err := load(r)
		if fetched := <-done; err == nil {
			err = fetched
		}
		if err != nil {
			return err
		}
	}
	return nil
}

var noLetters = regexp.MustCompile(`[^A-Za-z0-9.+]+`)

func (b *bench) fetchProfile(r running) error {
	admin := r.admin
	if admin == 0 {
		admin = r.port + 10
	}
	resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/debug/pprof/profile?seconds=%d", admin, max(int(b.duration.Seconds())-1, 1)))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s gives no profile: %s", r.name, body)
	}
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(b.profiles, noLetters.ReplaceAllString(b.shape+" "+r.name, "-")+".pprof"), body, 0o644)
}
