package istio_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// trial is one case of the tests of Istio's analyzers.
type trial struct {
	name, mesh string
	files      []string
	want       []said
}

// said is a code of an object, KIND/[NAMESPACE/]NAME.
type said struct{ code, object string }

// trials reads the table of the tests of Istio's analyzers.
func trials(t *testing.T, dir string) (out []trial) {
	t.Helper()
	codes := codesOf(t, filepath.Join(dir, "pkg/config/analysis/msg/messages.gen.go"))
	ast.Inspect(parsed(t, filepath.Join(dir, "pkg/config/analysis/analyzers/analyzers_test.go")), func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Names) == 0 || spec.Names[0].Name != "testGrid" {
			return true
		}
		for _, one := range spec.Values[0].(*ast.CompositeLit).Elts {
			out = append(out, readTrial(one.(*ast.CompositeLit), codes))
		}
		return false
	})
	if len(out) < 100 {
		t.Fatalf("Istio's table has %d cases", len(out))
	}
	return out
}

func readTrial(one *ast.CompositeLit, codes map[string]string) (c trial) {
	for _, e := range one.Elts {
		field := e.(*ast.KeyValueExpr)
		switch field.Key.(*ast.Ident).Name {
		case "name":
			c.name = text(field.Value)
		case "meshConfigFile":
			c.mesh = text(field.Value)
		case "inputFiles":
			for _, f := range field.Value.(*ast.CompositeLit).Elts {
				c.files = append(c.files, text(f))
			}
		case "expected":
			list, ok := field.Value.(*ast.CompositeLit)
			if !ok {
				continue
			}
			for _, m := range list.Elts {
				pair := m.(*ast.CompositeLit).Elts
				object := strings.Replace(text(pair[1]), " ", "/", 1)
				c.want = append(c.want, said{codes[pair[0].(*ast.SelectorExpr).Sel.Name], object})
			}
		}
	}
	return c
}

// codesOf reads which message has which code.
func codesOf(t *testing.T, file string) map[string]string {
	t.Helper()
	out := map[string]string{}
	ast.Inspect(parsed(t, file), func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		call, ok := spec.Values[0].(*ast.CallExpr)
		if f, isSelector := call.Fun.(*ast.SelectorExpr); ok && isSelector && f.Sel.Name == "NewMessageType" {
			out[spec.Names[0].Name] = text(call.Args[1])
		}
		return true
	})
	return out
}

func parsed(t *testing.T, file string) *ast.File {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func text(e ast.Expr) string {
	lit, ok := e.(*ast.BasicLit)
	if !ok {
		return ""
	}
	s, _ := strconv.Unquote(lit.Value)
	return s
}
