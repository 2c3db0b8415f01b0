package path

import (
	"bytes"
	"strings"
	"testing"

	"github.com/heddle-mesh/heddle/data/proxy/config"
)

func TestClean(t *testing.T) {
	all := Options{Normalize: true, MergeSlashes: true}
	keep := Options{Normalize: true}
	tests := []struct {
		in      string
		o       Options
		want    string
		verdict Verdict
	}{
		{"/a/b", keep, "/a/b", Same},
		{"/", keep, "/", Same},
		{"*", keep, "*", Same},
		{"/a/./b", keep, "/a/b", Changed},
		{"/a/../b?x=/../y", keep, "/b?x=/../y", Changed},
		{"/../../etc", keep, "/etc", Changed},
		{"/a/..", keep, "/", Changed},
		{"/a/.", keep, "/a/", Changed},
		{"/a/b/..", keep, "/a/", Changed},
		{"/a/%2e%2E/b", keep, "/b", Changed},
		{"/a\\b", keep, "/a/b", Changed},
		{"/a\\..\\b", keep, "/b", Changed},
		{"/%61dmin", keep, "/admin", Changed},
		{"/a%2Fb", keep, "/a%2Fb", Same},
		{"/a%2fb", keep, "/a%2fb", Same},
		{"/a%00b", keep, "/a%00b", Refused},
		{"/a%zz", keep, "/a%zz", Same},
		{"/a..b/c.d", keep, "/a..b/c.d", Same},
		{"/a/..;/b", keep, "/b", Changed},
		{"/a/..;x=y/b", keep, "/b", Changed},
		{"/a/%2e%2e;/b", keep, "/b", Changed},
		{"/a/.;/b", keep, "/a/b", Changed},
		{"/a/..%3b/b", keep, "/a/..%3b/b", Same},
		{"/a;b=c/d", keep, "/a;b=c/d", Same},
		{"/%%32%66b", keep, "/%252fb", Changed},
		{"/%2%66b", keep, "/%252fb", Changed},
		{"/.well-known/x", keep, "/.well-known/x", Same},
		{"/...", keep, "/...", Same},
		{"/a//b", keep, "/a//b", Same},
		{"/a//b///c?d//e", all, "/a/b/c?d//e", Changed},
		{"/\xc3\xa9", keep, "/%C3%A9", Changed},
		{"/a|b", keep, "/a%7Cb", Changed},
		{"/a/../b", Options{}, "/a/../b", Same},
		{"/a%2Fb", Options{Escaped: config.RejectEscaped}, "/a%2Fb", Refused},
		{"/a%2F..%5cb", Options{Normalize: true, Escaped: config.UnescapeForward}, "/b", Changed},
		{"/a%2fb?c%2fd", Options{Escaped: config.UnescapeRedirect}, "/a/b?c%2fd", Redirect},
	}
	for _, tt := range tests {
		got, v := Clean([]byte(tt.in), tt.o, nil)
		if string(got) != tt.want || v != tt.verdict {
			t.Errorf("Clean(%q) = %q, %d; want %q, %d", tt.in, got, v, tt.want, tt.verdict)
		}
	}
}

// FuzzClean checks that the normal form is stable and has no way upwards left.
func FuzzClean(f *testing.F) {
	for _, s := range []string{"/a/../b", "/%2e%2e/x", "/a\\..\\b", "//", "/.", "/..", "/a/%2E/", "/%252e%252e/", "/a;b=1/../c?d", "/%%32%66", "/%2%66", "/a/..;/b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) == 0 || s[0] != '/' || strings.IndexByte(s, 0) >= 0 { // the parsers let none of these through
			return
		}
		o := Options{Normalize: true, MergeSlashes: true, Escaped: config.UnescapeForward}
		got, v := Clean([]byte(s), o, nil)
		if v == Refused {
			return
		}
		path, _, _ := bytes.Cut(got, []byte("?"))
		if len(path) == 0 || path[0] != '/' {
			t.Fatalf("%q became %q", s, got)
		}
		for _, seg := range bytes.Split(path, []byte("/")) {
			if seg, _, _ = bytes.Cut(seg, []byte(";")); string(seg) == "." || string(seg) == ".." {
				t.Fatalf("%q keeps a dot segment: %q", s, got)
			}
		}
		if bytes.Contains(path, []byte("//")) {
			t.Fatalf("%q keeps empty segments: %q", s, got)
		}
		if again, v := Clean(bytes.Clone(got), o, nil); v != Same {
			t.Fatalf("%q became %q, and that %q", s, got, again)
		}
	})
}
