package ui

import (
	"bytes"
	"compress/gzip"
	"io/fs"
	"strings"
	"testing"
)

// limit of what a browser loads, compressed.
const limit = 1 << 20

func TestThePageIsLight(t *testing.T) {
	page := Page()
	if page == nil {
		t.Skip("the page is not built; make ui builds it")
	}
	total := 0
	err := fs.WalkDir(page, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(page, name)
		if err != nil {
			return err
		}
		var out bytes.Buffer
		w := gzip.NewWriter(&out)
		_, _ = w.Write(b)
		_ = w.Close()
		total += out.Len()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if t.Logf("%d KiB compressed", total>>10); total > limit {
		t.Errorf("the page weighs %d KiB compressed, the limit is %d", total>>10, limit>>10)
	}
}

// The policy of the page forbids scripts and styles inside of HTML; a page that has some would be blank.
func TestNothingIsInline(t *testing.T) {
	page := Page()
	if page == nil {
		t.Skip("the page is not built; make ui builds it")
	}
	html, err := fs.ReadFile(page, "index.html")
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"<style", "style=", "<script>", "onload=", "http://", "https://", "//cdn"} {
		if strings.Contains(string(html), bad) {
			t.Errorf("index.html has %q", bad)
		}
	}
}
