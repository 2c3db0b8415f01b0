package web

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/heddle-mesh/heddle/internal/loopback"
)

// policy lets a page load its own files and nothing else, and be in no frame.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// guarded is before everything: it knows no user yet.
func (s *site) guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		h := rw.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY") // for browsers that do not know frame-ancestors
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		switch {
		case s.local && !loopback.Is(r.Host):
			// A page of another site must not read this under a name that it has led here (DNS rebinding).
			fail(rw, http.StatusForbidden, "the dashboard listens on a loopback address; open it as http://127.0.0.1 or http://localhost with its port")
		case !sameOrigin(r):
			fail(rw, http.StatusForbidden, "the request comes from another site")
		default:
			next.ServeHTTP(rw, r)
		}
	})
}

// sameOrigin says whether a request may come from where it comes from. Browsers tell that by themselves; other clients tell nothing and have no cookies of anybody. Another
// site may link to a page, as links do, but call nothing.
func sameOrigin(r *http.Request) bool {
	if origin := r.Header.Get("Origin"); origin != "" {
		u, err := url.Parse(origin)
		if err != nil || u.Host == "" || !strings.EqualFold(u.Host, r.Host) {
			return false
		}
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
		return true
	}
	return r.Method == http.MethodGet && r.Header.Get("Sec-Fetch-Mode") == "navigate" && !strings.HasPrefix(r.URL.Path, "/api/")
}

func loopbackAddress(address string) (bool, error) {
	if _, _, err := net.SplitHostPort(address); err != nil {
		return false, fmt.Errorf("--dashboard-address %q is not HOST:PORT: %w", address, err)
	}
	return loopback.Is(address), nil
}
