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
		files, err := manifestFiles(path)
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			data, err := e.readManifest(file)
			if err != nil {
				return nil, err
			}
			m.add(file, data)
		}
	}
	return m, nil
}

// readManifest reads one file, or - for standard input.
func (e *Env) readManifest(file string) (data []byte, err error) {
	if file == "-" {
		data, err = io.ReadAll(e.In)
	} else {
		data, err = os.ReadFile(file)
	}
	if err != nil {
		return nil, fmt.Errorf("read the objects: %w; give -f another file", err)
	}
	return data, nil
}

func manifestFiles(path string) (files []string, err error) {
	if path == "-" {
		return []string{path}, nil
	}
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
