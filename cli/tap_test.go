package cli

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
)

// tapAt runs heddle tap against a page, and gives what it printed.
func tapAt(t *testing.T, ctx context.Context, page http.HandlerFunc, args ...string) (string, error) {
	t.Helper()
	srv := httptest.NewServer(page)
	defer srv.Close()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	root := Root(Env{Out: w, Err: os.Stderr, RunDir: t.TempDir()})
	root.SetArgs(append([]string{"tap", "--admin", srv.URL}, args...))
	err = root.ExecuteContext(ctx)
	w.Close()
	buf := make([]byte, 64<<10)
	n, _ := r.Read(buf) // nothing was printed otherwise
	return string(buf[:n]), err
}

func TestTapPrintsRequests(t *testing.T) {
	asked := ""
	page := func(w http.ResponseWriter, r *http.Request) {
		asked = r.URL.Path + " " + r.URL.Query().Encode()
		fmt.Fprint(w, `{"start":"2026-01-02T03:04:05.678Z","direction":"outbound","status":503,"method":"GET","authority":"cart","path":"/a\u001b[31m","downstream":"10.0.0.1:5","route":"r","cluster":"c","endpoint":"10.0.0.2:80","flags":"UF","details":"why","attempts":2,"duration_ms":12.345}`+"\n"+`{"dropped":7}`+"\n")
	}
	out, err := tapAt(t, t.Context(), page, "--status", "5xx", "--limit", "3")
	want := " -> 503 GET cart/a?[31m 12.3ms from=10.0.0.1:5 route=r to=10.0.0.2:80 cluster=c flags=UF attempts=2 (why)\n(7 more, which came faster than they could be shown)\n"
	if err != nil || !strings.HasSuffix(out, want) || asked != "/tap limit=3&status=5xx" {
		t.Errorf("%q, %v; asked for %q", out, err, asked)
	}
	if out, err := tapAt(t, t.Context(), page, "-o", "json"); err != nil || !strings.HasPrefix(out, `{"start":`) || strings.Count(out, "\n") != 2 {
		t.Errorf("%q, %v", out, err)
	}
}

func TestTapEndsCleanly(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	if out, err := tapAt(t, ctx, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush() // the reader is here
		cancel()                                  // Ctrl-C
		<-r.Context().Done()
	}); err != nil || out != "" {
		t.Errorf("%q, %v", out, err)
	}
	_, err := tapAt(t, t.Context(), func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "status: \"x\" is not a code", 400) })
	if err == nil || err.Error() != `the proxy says 400 Bad Request: status: "x" is not a code` {
		t.Error(err)
	}
}
