package oci

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"io"
	"os"
	"runtime/debug"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

func untar(t *testing.T, r io.Reader) (names []string, content map[string][]byte, modes map[string]int64) {
	t.Helper()
	content, modes = map[string][]byte{}, map[string]int64{}
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return names, content, modes
		}
		if err != nil {
			t.Fatal(err)
		}
		names, modes[h.Name] = append(names, h.Name), h.Mode
		if content[h.Name], err = io.ReadAll(tr); err != nil {
			t.Fatal(err)
		}
	}
}

func parse[T any](t *testing.T, text []byte) (v T) {
	t.Helper()
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestArchive(t *testing.T) {
	i := Image{Name: "registry.example/heddled:1.0", Architecture: "arm64", User: "65532:65532", Entrypoint: []string{"/usr/local/bin/heddled"}, Labels: map[string]string{"a": "b"}, Files: []File{
		{Path: "/usr/local/bin/heddled", Content: []byte("program"), Executable: true}, {Path: "/etc/x", Content: []byte("text")}}}
	var first, second bytes.Buffer
	for _, b := range []*bytes.Buffer{&first, &second} {
		if err := Write(b, i); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("the same image has other bytes when it is written again")
	}
	_, files, _ := untar(t, &first)
	blob := func(h v1.Hash) []byte { return files["blobs/sha256/"+h.Hex] }
	index := parse[v1.IndexManifest](t, files["index.json"])
	if len(index.Manifests) != 1 || index.Manifests[0].Annotations["io.containerd.image.name"] != i.Name || index.Manifests[0].Platform.Architecture != "arm64" {
		t.Fatalf("index.json: %s", files["index.json"])
	}
	manifest := parse[v1.Manifest](t, blob(index.Manifests[0].Digest))
	config := parse[v1.ConfigFile](t, blob(manifest.Config.Digest))
	if config.OS != "linux" || config.Architecture != "arm64" || config.Config.User != i.User || config.Config.Entrypoint[0] != i.Entrypoint[0] || config.Config.Labels["a"] != "b" {
		t.Errorf("configuration: %+v", config)
	}
	z, err := gzip.NewReader(bytes.NewReader(blob(manifest.Layers[0].Digest)))
	if err != nil {
		t.Fatal(err)
	}
	names, content, modes := untar(t, z)
	if got := strings.Join(names, " "); got != "etc/ etc/x usr/ usr/local/ usr/local/bin/ usr/local/bin/heddled" || string(content["etc/x"]) != "text" || modes["usr/local/bin/heddled"] != 0o755 || modes["etc/x"] != 0o644 {
		t.Errorf("layer: %s %v", got, modes)
	}
}

func TestMistakes(t *testing.T) {
	for _, files := range [][]File{{{Path: "x"}}, {{Path: "/x/../y"}}, {{Path: "/x", Content: []byte{1}}, {Path: "/x", Content: []byte{1}}}, {{Path: "/x", From: "/nowhere/at/all"}}} {
		if err := Write(io.Discard, Image{Name: "a:1", Files: files}); err == nil || !strings.Contains(err.Error(), "a:1") {
			t.Errorf("%+v: %v", files, err)
		}
	}
}

func TestBillOfMaterials(t *testing.T) {
	text, err := bill("test", []*buildinfo.BuildInfo{{GoVersion: "go1.26.8", Main: debug.Module{Path: "example/app", Version: "v1"}, Deps: []*debug.Module{
		{Path: "example/lib", Version: "v2"}, {Path: "example/old", Version: "v1", Replace: &debug.Module{Path: "example/new", Version: "v3"}}}}})
	if err != nil {
		t.Fatal(err)
	}
	type document struct {
		Packages []struct{ Name, VersionInfo string }
	}
	var got []string
	for _, p := range parse[document](t, text).Packages {
		got = append(got, p.Name+" "+p.VersionInfo)
	}
	if all := strings.Join(got, ", "); all != "example/app v1, example/lib v2, example/new v3, stdlib 1.26.8" {
		t.Error(all)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if text, err := BillOfMaterials("test", []string{self}); err != nil || !strings.Contains(string(text), "stdlib") {
		t.Errorf("%s %v", text, err)
	}
	if _, err := BillOfMaterials("test", []string{"oci.go"}); err == nil {
		t.Error("a text has no bill of materials")
	}
}

func TestLibraries(t *testing.T) {
	sh, err := Libraries("/bin/sh")
	if err != nil {
		t.Skip("no dynamically linked shell here: ", err)
	}
	var names []string
	for _, f := range sh {
		names = append(names, f.Path)
	}
	if all := strings.Join(names, " "); !strings.Contains(all, "/ld-") || !strings.Contains(all, "libc.so") {
		t.Errorf("libraries of /bin/sh: %s", all)
	}
	if _, err := Libraries("oci.go"); err == nil {
		t.Error("a text is no program")
	}
}
