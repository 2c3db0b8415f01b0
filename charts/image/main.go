// Command image writes a container image of static programs as an OCI archive, with a list of what they are made of:
//
//	image -name registry/heddled:1.0 -user 65532 -o heddled.tar bin/heddled
//
// The first program is the entry point; programs are in /usr/local/bin, and -file SRC:DST adds others.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/heddle-mesh/heddle/internal/oci"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	f := flag.NewFlagSet("image", flag.ContinueOnError)
	i := oci.Image{Architecture: runtime.GOARCH}
	f.StringVar(&i.Name, "name", "", "`name` with tag")
	f.StringVar(&i.User, "user", "", "`UID[:GID]` of the program; empty: root")
	f.StringVar(&i.Architecture, "arch", i.Architecture, "`GOARCH` of the programs")
	out := f.String("o", "", "`archive` to write")
	f.Func("file", "`SRC:DST`: a further file, executable if SRC is; a dynamically linked program brings its libraries", func(text string) error {
		from, to, ok := strings.Cut(text, ":")
		info, err := os.Stat(from)
		if !ok || err != nil {
			return errors.Join(errors.New("want SRC:DST"), err)
		}
		i.Files = append(i.Files, oci.File{Path: to, From: from, Executable: info.Mode()&0o111 != 0})
		if info.Mode()&0o111 == 0 {
			return nil
		}
		libraries, err := oci.Libraries(from)
		i.Files = append(i.Files, libraries...)
		return err
	})
	if err := f.Parse(args); err != nil {
		return err
	}
	if !strings.Contains(path.Base(i.Name), ":") || *out == "" || f.NArg() == 0 {
		return errors.New("want -name NAME:TAG -o ARCHIVE PROGRAM...; see image -help")
	}
	for _, program := range f.Args() {
		i.Files = append(i.Files, oci.File{Path: "/usr/local/bin/" + filepath.Base(program), From: program, Executable: true})
	}
	i.Entrypoint = []string{"/usr/local/bin/" + filepath.Base(f.Arg(0))}
	name := path.Base(i.Name[:strings.LastIndex(i.Name, ":")])
	bill, err := oci.BillOfMaterials(name, f.Args())
	if err != nil {
		return err
	}
	i.Files = append(i.Files, oci.File{Path: "/usr/share/doc/" + name + "/sbom.spdx.json", Content: bill})
	return write(*out, i)
}

// write replaces the archive at once, so that nobody reads half of one.
func write(to string, i oci.Image) error {
	temporary, err := os.CreateTemp(filepath.Dir(to), ".image-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(temporary.Name()) }() // a temporary file
	if err := errors.Join(oci.Write(temporary, i), temporary.Chmod(0o644), temporary.Close()); err != nil {
		return err
	}
	return os.Rename(temporary.Name(), to)
}
