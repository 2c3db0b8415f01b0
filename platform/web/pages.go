package web

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
)

// notBuilt is the page of a program that was built without it.
const notBuilt = `<!doctype html><html lang="en"><title>Heddle</title><p>This heddled was built without the dashboard's page: run make ui, which needs Node, and build it again. The answers under /api are here.</p></html>`

// pages serves the built page: its files by name, and index.html for every address of the page itself, so that each is a bookmark.
type pages struct {
	files map[string][]byte
}

func newPages(page fs.FS) (*pages, error) {
	p := &pages{files: map[string][]byte{}}
	if page == nil {
		p.files["index.html"] = []byte(notBuilt)
		return p, nil
	}
	err := fs.WalkDir(page, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(page, name)
		p.files[name] = b
		return err
	})
	if err == nil && p.files["index.html"] == nil {
		err = errors.New("index.html is missing")
	}
	if err != nil {
		return nil, fmt.Errorf("read the dashboard's page: %w", err)
	}
	return p, nil
}

func (p *pages) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(path.Clean(r.URL.Path), "/")
	body, ok := p.files[name]
	switch {
	case ok && strings.HasPrefix(name, "assets/"): // named by their content
		rw.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	case ok:
	case path.Ext(name) != "":
		fail(rw, http.StatusNotFound, "there is no %s", "/"+name)
		return
	default:
		name = "index.html"
		body = p.files[name]
	}
	if t := mime.TypeByExtension(path.Ext(name)); t != "" {
		rw.Header().Set("Content-Type", t)
	}
	if r.Method == http.MethodHead {
		return
	}
	_, _ = bytes.NewReader(body).WriteTo(rw)
}
