package config_test

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	module = "github.com/heddle-mesh/heddle"
	itself = module + "/data/proxy/config"
)

// TestEveryFieldIsRead: a field that package decode fills and nobody reads is a setting that is taken and ignored. Reads are found by type, over all of the proxy's
// packages but this one and decode; the value of a composite literal and the left side of an assignment are no reads.
func TestEveryFieldIsRead(t *testing.T) {
	read := map[string]bool{}
	seen := 0
	for _, p := range proxyPackages(t) {
		if p.ImportPath == itself || p.ImportPath == itself+"/decode" {
			continue
		}
		seen++
		p.reads(t, read)
	}
	if seen < 5 {
		t.Fatalf("only %d packages were looked at", seen)
	}
	for _, f := range fields(t) {
		if !read[f] {
			t.Errorf("config.%s is never read", f)
		}
	}
}

// listed is what `go list -export -json` says of a package.
type listed struct {
	ImportPath, Dir, Export string
	GoFiles                 []string
	all                     map[string]string // export data by import path
}

func proxyPackages(t *testing.T) (own []listed) {
	t.Helper()
	cmd := exec.Command("go", "list", "-export", "-deps", "-json=ImportPath,Dir,Export,GoFiles", module+"/data/proxy/...")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	exports := map[string]string{}
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		p := listed{all: exports}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return own
		} else if err != nil {
			t.Fatal(err)
		}
		exports[p.ImportPath] = p.Export
		if strings.HasPrefix(p.ImportPath, module+"/data/proxy/") {
			own = append(own, p)
		}
	}
}

// reads adds the fields of package config that a package reads.
func (p *listed) reads(t *testing.T, into map[string]bool) {
	t.Helper()
	fset := token.NewFileSet()
	var files []*ast.File
	for _, name := range p.GoFiles {
		f, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	info := &types.Info{Selections: map[*ast.SelectorExpr]*types.Selection{}}
	conf := types.Config{Importer: importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) { return os.Open(p.all[path]) })}
	if _, err := conf.Check(p.ImportPath, fset, files, info); err != nil {
		t.Fatalf("%s: %v", p.ImportPath, err)
	}
	written := map[ast.Expr]bool{}
	for _, f := range files {
		ast.Inspect(f, func(n ast.Node) bool {
			if a, ok := n.(*ast.AssignStmt); ok {
				for _, l := range a.Lhs {
					written[l] = true
				}
			}
			return true
		})
	}
	for e, s := range info.Selections {
		if s.Kind() == types.FieldVal && !written[e] {
			addField(s, into)
		}
	}
}

// addField notes STRUCT.FIELD of a selection, and of the embedded structs on the way.
func addField(s *types.Selection, into map[string]bool) {
	typ := s.Recv()
	for _, i := range s.Index() {
		if ptr, ok := typ.Underlying().(*types.Pointer); ok {
			typ = ptr.Elem()
		}
		st, ok := typ.Underlying().(*types.Struct)
		if !ok {
			return
		}
		field := st.Field(i)
		if named, ok := types.Unalias(typ).(*types.Named); ok && named.Obj().Pkg() != nil && named.Obj().Pkg().Path() == itself {
			into[named.Obj().Name()+"."+field.Name()] = true
		}
		typ = field.Type()
	}
}

// fields are all exported fields of the package's exported structs, as STRUCT.FIELD.
func fields(t *testing.T) []string {
	t.Helper()
	found := map[string]bool{}
	paths, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			if st, ok := spec.Type.(*ast.StructType); ok {
				for _, field := range st.Fields.List {
					for _, name := range field.Names {
						found[spec.Name.Name+"."+name.Name] = true
					}
				}
			}
			return false
		})
	}
	return slices.Sorted(maps.Keys(found))
}
