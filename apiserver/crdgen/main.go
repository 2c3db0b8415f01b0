// Command crdgen copies the CustomResourceDefinitions that Heddle serves out of
// the Go modules that ship them into a folder to be embedded.
//
// In: the versions of istio.io/api and sigs.k8s.io/gateway-api in go.mod. Out:
// one JSON file per definition, named SET.NAME.json, with annotations that say
// where it came from and the hash of its contents. It is not concurrent.
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"

	"sigs.k8s.io/yaml"
)

// source says where one set of definitions lives inside its module.
type source struct{ set, module, glob string }

var sources = []source{
	{"istio", "istio.io/api", "kubernetes/customresourcedefinitions.gen.yaml"},
	{"gateway", "sigs.k8s.io/gateway-api", "config/crd/standard/gateway.networking.k8s.io_*.yaml"},
}

func main() {
	out := "crds"
	if len(os.Args) > 1 {
		out = os.Args[1]
	}
	if err := generate(out); err != nil {
		fmt.Fprintln(os.Stderr, "crdgen:", err)
		os.Exit(1)
	}
}

func generate(out string) error {
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	stale, err := filepath.Glob(filepath.Join(out, "*.json"))
	if err != nil {
		return err
	}
	fresh := map[string]bool{}
	for _, src := range sources {
		names, err := src.copyTo(out)
		if err != nil {
			return fmt.Errorf("definitions of %s: %w", src.module, err)
		}
		for _, name := range names {
			fresh[name] = true
		}
		fmt.Printf("crdgen: %d definitions of %s\n", len(names), src.module)
	}
	for _, name := range stale {
		if !fresh[name] {
			if err := os.Remove(name); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s source) copyTo(out string) ([]string, error) {
	mod, err := findModule(s.module)
	if err != nil {
		return nil, err
	}
	files, err := filepath.Glob(filepath.Join(mod.Dir, filepath.FromSlash(s.glob)))
	if err != nil {
		return nil, err
	}
	sort.Strings(files)
	var written []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		for _, doc := range bytes.Split(text, []byte("\n---\n")) {
			name, body, err := convert(doc, s.module+"@"+mod.Version)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", filepath.Base(file), err)
			}
			if name == "" {
				continue
			}
			path := filepath.Join(out, s.set+"."+name+".json")
			if err := writeIfChanged(path, body); err != nil {
				return nil, err
			}
			written = append(written, path)
		}
	}
	if len(written) == 0 {
		return nil, fmt.Errorf("no definition found at %s of %s", s.glob, mod.Dir)
	}
	return written, nil
}

// module is the part of `go mod download -json` that is read here.
type module struct{ Dir, Version, Error string }

func findModule(path string) (module, error) {
	var m module
	cmd := exec.Command("go", "mod", "download", "-json", path)
	text, err := cmd.Output()
	if err != nil && len(text) == 0 {
		return m, fmt.Errorf("go mod download %s: %w", path, err)
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return m, err
	}
	if m.Error != "" {
		return m, fmt.Errorf("go mod download %s: %s", path, strings.TrimSpace(m.Error))
	}
	return m, nil
}

// convert turns one YAML document into JSON with our annotations. Documents of
// another kind (or empty ones) give no name.
func convert(doc []byte, origin string) (name string, body []byte, err error) {
	var obj map[string]any
	if err := yaml.Unmarshal(doc, &obj); err != nil {
		return "", nil, err
	}
	if obj["kind"] != "CustomResourceDefinition" {
		return "", nil, nil
	}
	delete(obj, "status")
	meta, _ := obj["metadata"].(map[string]any)
	name, _ = meta["name"].(string)
	if name == "" {
		return "", nil, fmt.Errorf("a definition without a name")
	}
	plain, err := json.Marshal(obj)
	if err != nil {
		return "", nil, err
	}
	sum := sha256.Sum256(plain)
	annotations, _ := meta["annotations"].(map[string]any)
	if annotations == nil {
		annotations = map[string]any{}
		meta["annotations"] = annotations
	}
	annotations["heddle.dev/crd-origin"] = origin
	annotations["heddle.dev/crd-hash"] = hex.EncodeToString(sum[:8])
	body, err = json.Marshal(obj)
	return name, body, err
}

// writeIfChanged leaves the file's time alone when nothing changed, so that the
// build cache stays warm.
func writeIfChanged(path string, body []byte) error {
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, body) {
		return nil
	}
	return os.WriteFile(path, body, 0o644)
}
