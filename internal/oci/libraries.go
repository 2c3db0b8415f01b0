package oci

import (
	"debug/elf"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Libraries are the loader and the shared libraries of this machine that a dynamically linked program needs; a static one needs none.
func Libraries(program string) ([]File, error) {
	var found []File
	todo, seen := []string{program}, map[string]bool{}
	for len(todo) > 0 {
		at := todo[0]
		todo = todo[1:]
		needs, loader, err := needed(at)
		if err != nil {
			return nil, fmt.Errorf("find the libraries of %s: %w", program, err)
		}
		if loader != "" && !seen[loader] {
			seen[loader] = true
			found = append(found, File{Path: loader, From: loader, Executable: true})
		}
		for _, name := range needs {
			path, err := locate(name)
			if err != nil {
				return nil, fmt.Errorf("find the libraries of %s: %w", program, err)
			}
			if !seen[path] && !slices.ContainsFunc(found, func(f File) bool { return filepath.Base(f.Path) == name }) {
				seen[path] = true
				found = append(found, File{Path: path, From: path, Executable: true})
				todo = append(todo, path)
			}
		}
	}
	return found, nil
}

// needed reads what an ELF file asks for.
func needed(path string) (names []string, loader string, err error) {
	f, err := elf.Open(path)
	if err != nil {
		return nil, "", err
	}
	defer func() { _ = f.Close() }() // it was only read
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			text, err := io.ReadAll(p.Open())
			if err != nil {
				return nil, "", err
			}
			loader = strings.TrimRight(string(text), "\x00")
		}
	}
	if f.Section(".dynamic") == nil {
		return nil, loader, nil
	}
	names, err = f.ImportedLibraries()
	return names, loader, err
}

// locate finds a library where the loader of Debian (and of what derives from it) looks by default.
func locate(name string) (string, error) {
	for _, pattern := range []string{"/lib/*-linux-gnu/", "/usr/lib/*-linux-gnu/", "/lib64/", "/usr/lib64/", "/lib/", "/usr/lib/"} {
		if all, err := filepath.Glob(pattern + name); err == nil && len(all) > 0 {
			return all[0], nil
		}
	}
	return "", fmt.Errorf("%s: %w", name, os.ErrNotExist)
}
