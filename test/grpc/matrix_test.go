package grpc

import (
	"os"
	"strings"
	"testing"
)

// The table of docs/features/grpc.md stands between these lines.
const (
	matrixFile  = "../../docs/features/grpc.md"
	matrixBegin = "<!-- the table is written by: go test ./test/grpc -run TestMatrix -update -->\n"
	matrixEnd   = "<!-- end of the table -->\n"
)

// languages are those of the table; the first is that of the test itself.
var languages = []string{"go", "java", "node"}

// serverFeatures are what tryServer tries, in one go.
var serverFeatures = []feature{
	{name: "server: listener, plain text", gRFC: "A36"},
	{name: "server: mutual TLS, the caller's identity, names of servers", gRFC: "A29"},
	{name: "server: authorization by caller, method and port, ALLOW and DENY", gRFC: "A41", limits: map[string]string{"node": "yes, with GRPC_XDS_EXPERIMENTAL_RBAC=true; without it the server does not serve"}},
}

// TestMatrix holds the table in the documentation to what is tried. Every cell is tried by TestProxyless*.
func TestMatrix(t *testing.T) {
	var b strings.Builder
	b.WriteString("| what | gRFC | grpc-go 1.85 | grpc-java 1.76 | grpc-js-xds 1.14 |\n|---|---|---|---|---|\n")
	for _, f := range append(features, serverFeatures...) {
		b.WriteString("| " + f.name + " | " + strings.Trim(f.gRFC, "abcdefghijklmnopqrstuvwxyz") + " |")
		for _, l := range languages {
			cell := "yes"
			if f.gRFC == "told" || f.gRFC == "denied" {
				cell = f.gRFC
			}
			if limit := f.limits[l]; limit != "" {
				cell = limit
			}
			b.WriteString(" " + cell + " |")
		}
		b.WriteString("\n")
	}
	text, err := os.ReadFile(matrixFile)
	must(t, err)
	before, rest, ok := strings.Cut(string(text), matrixBegin)
	_, after, ok2 := strings.Cut(rest, matrixEnd)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the table", matrixFile)
	}
	want := before + matrixBegin + b.String() + matrixEnd + after
	if *update {
		must(t, os.WriteFile(matrixFile, []byte(want), 0o644))
		return
	}
	if string(text) != want {
		t.Errorf("the table of %s is not what is tried (-update writes it):\n%s", matrixFile, b.String())
	}
}
