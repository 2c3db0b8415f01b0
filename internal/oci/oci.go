// Package oci makes container images of files, as OCI archives, without a container engine or a registry.
//
// In: programs and files of this machine. Out: an archive that `ctr images import`, `skopeo` and registries take. The same files give the same bytes.
package oci

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Image says what is in an image, and how its program is started.
type Image struct {
	Name         string // with a tag: registry/name:tag
	Architecture string // GOARCH of the programs
	User         string // UID or UID:GID
	Entrypoint   []string
	Files        []File
	Labels       map[string]string
}

// File is one regular file of an image. Its folders are made, readable by everybody.
type File struct {
	Path       string // absolute, in the image
	From       string // read from this file of the machine, unless there is Content
	Content    []byte
	Executable bool
}

// Write writes the archive of an image.
func Write(w io.Writer, i Image) error {
	img, err := i.build()
	if err != nil {
		return fmt.Errorf("make the image %s: %w", i.Name, err)
	}
	if err := archive(w, i, img); err != nil {
		return fmt.Errorf("write the image %s: %w", i.Name, err)
	}
	return nil
}

func (i Image) build() (v1.Image, error) {
	content, err := i.layer()
	if err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil }, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, err
	}
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	if img, err = mutate.AppendLayers(img, layer); err != nil {
		return nil, err
	}
	file, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	file = file.DeepCopy()
	file.OS, file.Architecture = "linux", i.Architecture
	file.Config = v1.Config{User: i.User, Entrypoint: i.Entrypoint, Labels: i.Labels, WorkingDir: "/"}
	return mutate.ConfigFile(img, file)
}

// layer is a tar of the files in the order of their names, with times of zero.
func (i Image) layer() ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	done := map[string]bool{"/": true}
	for _, f := range slices.SortedFunc(slices.Values(i.Files), func(a, b File) int { return strings.Compare(a.Path, b.Path) }) {
		if !path.IsAbs(f.Path) || path.Clean(f.Path) != f.Path || done[f.Path] {
			return nil, fmt.Errorf("file %q: want a clean absolute path, once", f.Path)
		}
		if err := folders(w, path.Dir(f.Path), done); err != nil {
			return nil, err
		}
		if f.Content == nil {
			var err error
			if f.Content, err = os.ReadFile(f.From); err != nil {
				return nil, err
			}
		}
		mode := int64(0o644)
		if f.Executable {
			mode = 0o755
		}
		done[f.Path] = true
		if err := put(w, tar.Header{Typeflag: tar.TypeReg, Name: f.Path[1:], Mode: mode}, f.Content); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), w.Close()
}

func folders(w *tar.Writer, dir string, done map[string]bool) error {
	if done[dir] {
		return nil
	}
	if err := folders(w, path.Dir(dir), done); err != nil {
		return err
	}
	done[dir] = true
	return put(w, tar.Header{Typeflag: tar.TypeDir, Name: dir[1:] + "/", Mode: 0o755}, nil)
}

func put(w *tar.Writer, h tar.Header, content []byte) error {
	h.Size = int64(len(content))
	if err := w.WriteHeader(&h); err != nil {
		return err
	}
	_, err := w.Write(content)
	return err
}
