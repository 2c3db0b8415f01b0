package observe

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/heddle-mesh/heddle/control/token"
	"github.com/heddle-mesh/heddle/internal/loopback"
)

// guard lets in who may ask: everybody on this machine when the address is a loopback address, else who shows the token.
type guard struct {
	token string // "" for none
}

// errOpen says that an address needs a token.
var errOpen = errors.New("everybody who reaches it would read the metrics; give --token-file, or use a loopback address")

func newGuard(address, tokenFile string) (guard, error) {
	if _, _, err := net.SplitHostPort(address); err != nil {
		return guard{}, fmt.Errorf("--http-address %q is not HOST:PORT: %w", address, err)
	}
	if tokenFile == "" {
		if !loopback.Is(address) {
			return guard{}, fmt.Errorf("--http-address %s: %w", address, errOpen)
		}
		return guard{}, nil
	}
	secret, err := token.ReadOrCreate(tokenFile)
	if err != nil {
		return guard{}, err
	}
	return guard{token: secret}, nil
}

// open are the paths of probes, which tell nothing.
var open = map[string]bool{"/-/healthy": true, "/-/ready": true}

func (g guard) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case open[r.URL.Path]:
		case g.token == "":
			// A page in a browser must not read this under another name (DNS rebinding).
			if !loopback.Is(r.Host) {
				http.Error(w, "use a loopback address, such as http://127.0.0.1", http.StatusForbidden)
				return
			}
		case !g.shown(r):
			w.Header().Set("WWW-Authenticate", "Bearer")
			http.Error(w, "send the token of --token-file as: Authorization: Bearer TOKEN; or as the password of HTTP's basic authentication", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// shown says whether a request has the token. Basic authentication is for readers that know no other, such as Flagger's secrets.
func (g guard) shown(r *http.Request) bool {
	if bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		return token.Equal(strings.TrimSpace(bearer), g.token)
	}
	_, password, ok := r.BasicAuth()
	return ok && token.Equal(password, g.token)
}
