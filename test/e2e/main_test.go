package e2e

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"testing"
	"time"
)

// TestMain lets the test binary be a service of its own: serve PORT NAME VERSION answers with its name and version, after a few milliseconds at /slow; serve6 takes
// IPv6 only. It knows nothing of signals, so it ends in the middle of whatever it does, like many programs.
func TestMain(m *testing.M) {
	if network := map[string]string{"serve": "tcp", "serve6": "tcp6"}[os.Args[min(1, len(os.Args)-1)]]; network != "" && len(os.Args) == 5 {
		l, err := net.Listen(network, ":"+os.Args[2])
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Fprintln(os.Stderr, http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/slow" {
				time.Sleep(20 * time.Millisecond)
			}
			fmt.Fprintf(w, `{"service":%q,"version":%q}`+"\n", os.Args[3], os.Args[4])
		})))
		os.Exit(1)
	}
	os.Exit(m.Run())
}
