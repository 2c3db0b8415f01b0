// Package note collects what a translation has to say about one object: problems with their field paths, in the order in which they were found.
//
// A Pad belongs to one translation and is not safe for concurrent use.
package note

import (
	"fmt"
	"strings"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/mesh"
)

// Pad is where problems of one object are written down.
type Pad struct {
	ref      mesh.Ref
	problems []mesh.Problem
	broken   bool
	programs int  // instructions of its regular expressions
	crowded  bool // told of too many
}

// For opens a pad for an object.
func For(o api.Object) *Pad { return &Pad{ref: o.Ref()} }

// Add writes one problem down.
func (p *Pad) Add(code mesh.Code, field, hint, format string, args ...any) {
	p.broken = p.broken || code.Fatal()
	p.problems = append(p.problems, mesh.Problem{Object: p.ref, Field: field, Code: code, Message: fmt.Sprintf(format, args...), Hint: hint})
}

// Invalid says that the object breaks the rules of its kind.
func (p *Pad) Invalid(field, format string, args ...any) {
	p.Add(mesh.CodeInvalid, field, "", format, args...)
}

// NotFound says that a field names something that does not exist.
func (p *Pad) NotFound(field, hint, format string, args ...any) {
	p.Add(mesh.CodeNotFound, field, hint, format, args...)
}

// NotEnforced says that a field is not honoured, and what follows from that.
func (p *Pad) NotEnforced(field, format string, args ...any) {
	p.Add(mesh.CodeNotEnforced, field, "", format, args...)
}

// Broken says whether the object has no effect.
func (p *Pad) Broken() bool { return p.broken }

// Problems gives what was written down.
func (p *Pad) Problems() []mesh.Problem { return p.problems }

// Unhonoured writes a problem for every populated field of the object's spec that the table does not list, and for its labels and annotations. skip says
// which paths are answered elsewhere. It returns the paths of the spec that were written down.
func (p *Pad) Unhonoured(o api.Object, table api.FieldSet, skip func(path string) bool) []string {
	var paths []string
	for _, f := range table.Unlisted(o.Spec) {
		if skip != nil && skip(f.Path) {
			continue
		}
		value := ""
		if f.Value != "" && len(f.Value) <= 40 {
			value = " " + f.Value
		}
		p.NotEnforced(f.Path, "%s%s is not honoured yet", last(f.Path), value)
		paths = append(paths, f.Path)
	}
	p.Marks(o)
	return paths
}

// Marks writes a problem for every label and annotation of the mesh's domains that is not honoured.
func (p *Pad) Marks(o api.Object) {
	for _, f := range api.UnhonouredMarks(o) {
		p.NotEnforced(f.Path, "%s", f.Reason)
	}
}

func last(path string) string {
	if i := strings.LastIndexByte(path, '.'); i >= 0 && !strings.HasSuffix(path, "]") {
		return path[i+1:]
	}
	return path
}

// Under says whether a path is the given one or below it.
func Under(path, root string) bool {
	rest, ok := strings.CutPrefix(path, root)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}
