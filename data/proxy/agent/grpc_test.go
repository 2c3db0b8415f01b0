package agent

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/heddle-mesh/heddle/data/proxy/secret"
)

// TestCertificatesChangeAsAWhole: also after an agent that was killed, and whose process had the same id, as in a container that is started again.
func TestCertificatesChangeAsAWhole(t *testing.T) {
	dir := t.TempDir()
	var folders []string
	for _, text := range []string{"first", "second", "third"} {
		g := &grpcAgent{o: Options{WorkDir: dir, Shared: text == "third"}, log: slog.New(slog.DiscardHandler)}
		g.save(&secret.SVID{ChainPEM: []byte(text), KeyPEM: []byte(text), RootsPEM: []byte(text)})
		folder, err := os.Readlink(filepath.Join(dir, certificates))
		if err != nil {
			t.Fatal(err)
		}
		folders = append(folders, folder)
		mode := map[bool]os.FileMode{false: 0o600, true: 0o644}[g.o.Shared]
		for _, name := range []string{"cert-chain.pem", "key.pem", "root-cert.pem"} {
			path := filepath.Join(dir, certificates, name)
			b, err := os.ReadFile(path)
			if err != nil || string(b) != text {
				t.Errorf("%s is %q, want %q: %v", name, b, text, err)
			}
			if fi, err := os.Stat(path); err != nil {
				t.Error(err)
			} else if fi.Mode() != mode {
				t.Errorf("%s has mode %v, want %v", name, fi.Mode(), mode)
			}
		}
	}
	if folders[0] == folders[1] || folders[1] == folders[2] {
		t.Errorf("written in place: %v", folders)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 2 { // the link and what it points to
		t.Errorf("%v are left: %v", left, err)
	}
}

func TestWorkDirOfGRPCIsAbsolute(t *testing.T) {
	t.Chdir(t.TempDir())
	o := Options{WorkDir: "x", grpc: true}
	if err := o.workDir(); err != nil || !filepath.IsAbs(o.WorkDir) {
		t.Errorf("%s %v: programs in other folders read it", o.WorkDir, err)
	}
}
