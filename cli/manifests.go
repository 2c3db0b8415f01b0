package cli

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/heddle-mesh/heddle/api"
)

// maxManifest bounds one file of objects.
const maxManifest = 64 << 20

// manifests are the objects of files, and where in them they stand.
type manifests struct {
	objects  []api.Object
	problems []api.Problem // of decoding
	texts    map[string][]byte
	places   map[string]*api.Places
}

// readManifests reads files, folders (all .yaml, .yml and .json below) and - for standard input.
func (e *Env) readManifests(paths []string) (*manifests, error) {
	m := &manifests{texts: map[string][]byte{}, places: map[string]*api.Places{}}
	for _, path := range paths {
		if path == "-" {
			data, err := io.ReadAll(io.LimitReader(e.In, maxManifest))
			if err != nil {
				return nil, fmt.Errorf("read standard input: %w", err)
			}
			m.add("-", data)
			continue
		}
		files, err := manifestFiles(path)
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				return nil, fmt.Errorf("read the objects: %w", err)
			}
			m.add(file, data)
		}
	}
	return m, nil
}

func manifestFiles(path string) (files []string, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read the objects: %w", err)
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	err = filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && slices.Contains([]string{".yaml", ".yml", ".json"}, strings.ToLower(filepath.Ext(p))) {
			files = append(files, p)
		}
		return err
	})
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("folder %s has no .yaml, .yml or .json file", path)
	}
	return files, err
}

func (m *manifests) add(file string, data []byte) {
	objects, problems := api.DecodeAll(data, file)
	m.texts[file] = data
	m.objects = append(m.objects, objects...)
	for _, p := range problems {
		if p.Code != "Unsupported" || ours(p.Object.Group) { // other kinds are none of the mesh's
			m.problems = append(m.problems, p)
		}
	}
}

func ours(group string) bool {
	return slices.ContainsFunc(api.Kinds, func(k *api.Kind) bool { return k.Group == group && (k.Istio() || k.Gateway()) })
}

// place is where a field of an object stands.
func (m *manifests) place(o api.Object, field string) api.Position {
	file := o.Meta.File
	if file == "" {
		return api.Position{}
	}
	if m.places[file] == nil {
		m.places[file] = api.PlacesOf(m.texts[file])
	}
	at := m.places[file].Find(o.Meta.Line, o.Ref(), field)
	if at.Line == 0 {
		at.Line = o.Meta.Line
	}
	return at
}
