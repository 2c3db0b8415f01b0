package smuggling

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// parsers are those that look at the recorded bytes again, by the program that runs them; net/http has looked already.
var parsers = []struct {
	name, program, script string
	http1, http2          bool
}{
	{"node", "node", "testdata/garden.js", true, true},
	{"h11", "python3", "testdata/garden.py", true, false},
}

// replay shows the bytes of each connection to a parser, and gives the requests that it saw, by connection; ok is false where the parser is not installed.
func replay(t *testing.T, program, script string, u *upstream, conns []*recorded) (out [][]seen, ok bool) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		return nil, false
	}
	var in bytes.Buffer
	enc := json.NewEncoder(&in)
	for _, c := range conns {
		if err := enc.Encode(map[string]any{"http2": u.http2, "bytes": base64.StdEncoding.EncodeToString(c.raw)}); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(program, script)
	modules, err := filepath.Abs("../../.cache/python")
	if err != nil {
		t.Fatal(err)
	}
	cmd.Env = append(os.Environ(), "PYTHONPATH="+modules)
	var stderr strings.Builder
	cmd.Stdin, cmd.Stderr = &in, &stderr
	text, err := cmd.Output()
	if cmd.ProcessState != nil && cmd.ProcessState.ExitCode() == 77 {
		t.Logf("%s is not installed", script)
		return nil, false
	}
	if err != nil {
		t.Fatalf("%s %s: %v: %s", program, script, err, stderr.String())
	}
	for dec := json.NewDecoder(bytes.NewReader(text)); dec.More(); {
		var list []seen
		if err := dec.Decode(&list); err != nil {
			t.Fatal(err)
		}
		out = append(out, list)
	}
	if len(out) != len(conns) {
		t.Fatalf("%s looked at %d connections of %d: %s", script, len(out), len(conns), stderr.String())
	}
	return out, true
}
