package oci

import (
	"archive/tar"
	"io"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// archive writes an image layout (image-spec, image-layout.md) as a tar.
func archive(out io.Writer, i Image, img v1.Image) error {
	index := mutate.IndexMediaType(mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{
		Platform: &v1.Platform{OS: "linux", Architecture: i.Architecture},
		Annotations: map[string]string{
			"io.containerd.image.name":          i.Name, // ctr names the image so
			"org.opencontainers.image.ref.name": i.Name[strings.LastIndex(i.Name, ":")+1:],
		}}}), types.OCIImageIndex)
	raw, err := index.RawManifest()
	if err != nil {
		return err
	}
	w := tar.NewWriter(out)
	file := func(name string, content []byte, err error) error {
		if err != nil {
			return err
		}
		return put(w, tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644}, content)
	}
	if err := file("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`), nil); err != nil {
		return err
	}
	if err := file("index.json", raw, nil); err != nil {
		return err
	}
	blobs, err := blobs(img)
	if err != nil {
		return err
	}
	for _, b := range blobs {
		if err := file("blobs/"+b.digest.Algorithm+"/"+b.digest.Hex, b.content, nil); err != nil {
			return err
		}
	}
	return w.Close()
}

type blob struct {
	digest  v1.Hash
	content []byte
}

// blobs are the manifest, the configuration and the layers of an image.
func blobs(img v1.Image) (all []blob, err error) {
	add := func(digest func() (v1.Hash, error), content func() ([]byte, error)) {
		if err != nil {
			return
		}
		var b blob
		if b.digest, err = digest(); err != nil {
			return
		}
		b.content, err = content()
		all = append(all, b)
	}
	add(img.Digest, img.RawManifest)
	add(img.ConfigName, img.RawConfigFile)
	layers, layersErr := img.Layers()
	if layersErr != nil {
		return nil, layersErr
	}
	for _, l := range layers {
		add(l.Digest, func() ([]byte, error) {
			r, err := l.Compressed()
			if err != nil {
				return nil, err
			}
			defer r.Close()
			return io.ReadAll(r)
		})
	}
	return all, err
}
