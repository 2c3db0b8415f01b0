package e2e

import (
	"fmt"
	"net/http"
	"os"
	"testing"
	"time"
)

// TestMain lets the test binary be a service of its own: serve PORT NAME VERSION answers with its name and version, after a few milliseconds at /slow. It knows
// nothing of signals, so it ends in the middle of whatever it does, like many programs.
func TestMain(m *testing.M) {
	if len(os.Args) == 5 && os.Args[1] == "serve" {
		fmt.Fprintln(os.Stderr, http.ListenAndServe(":"+os.Args[2], http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/slow" {
				time.Sleep(20 * time.Millisecond)
			}
			fmt.Fprintf(w, `{"service":%q,"version":%q}`+"\n", os.Args[3], os.Args[4])
		})))
		os.Exit(1)
	}
	os.Exit(m.Run())
}
