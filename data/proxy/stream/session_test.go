package stream_test

import (
	"encoding/base64"
	"testing"

	"github.com/heddle-mesh/heddle/data/proxy/stream"
)

func TestPathsOfCookies(t *testing.T) {
	for _, tt := range []struct {
		request, path string
		want          bool
	}{
		{"/a", "", true}, {"/a", "/", true}, {"/a", "/a", true}, {"/a/b", "/a", true}, {"/a?b", "/a", true}, {"/ab", "/a", false}, {"/", "/a", false},
		{"/a/b", "/a/", true}, {"/a", "/a/", false},
	} {
		if got := stream.Within([]byte(tt.request), tt.path); got != tt.want {
			t.Errorf("%s is within %q: %v", tt.request, tt.path, got)
		}
	}
}

// FuzzSessionCookie reads what any client may send; what is no token names no endpoint.
func FuzzSessionCookie(f *testing.F) {
	token := func(b ...byte) []byte { return []byte(base64.StdEncoding.EncodeToString(b)) }
	for _, seed := range [][]byte{
		nil, []byte("%"), []byte("Cg4xMC43OC4xLjE6ODA4MA=="), token(0x0a), token(0x0a, 0xff), token(0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 'a'),
		token(0x10, 5, 0x0a, 1, 'a'), token(0x0b, 0x0c), token(0x08, 1), token(0x0a, 1, 'a', 0x0a, 1, 'b'), token(0),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		if got := stream.CookieEndpoint(value); len(got) > len(value) {
			t.Errorf("%q names %q", value, got)
		}
	})
}

func TestSessionCookies(t *testing.T) {
	for in, want := range map[string]string{
		"Cg4xMC43OC4xLjE6ODA4MA==":                                     "10.78.1.1:8080",
		base64.StdEncoding.EncodeToString([]byte("\x0a\x01a\x10\x05")): "a",
		base64.StdEncoding.EncodeToString([]byte("10.78.1.1:8080")):    "",
		"Cg4xMC43OC4xLjE6ODA4MA":                                       "", "": "",
	} {
		if got := string(stream.CookieEndpoint([]byte(in))); got != want {
			t.Errorf("%s names %q, want %q", in, got, want)
		}
	}
}
