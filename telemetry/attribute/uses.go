package attribute

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
)

// header is the name of a header in lower case: the token of RFC 9110, section 5.6.2, but for what would end it where it is written to Envoy.
var header = regexp.MustCompile("^[a-z0-9!#$&*+.^_|~-]+$")

// reader finds what an expression asks for.
type reader struct {
	uses    []Name
	strange []string       // what stock Envoy refuses
	bound   map[string]int // variables of macros
	err     error
}

// read finds the attributes of an expression, ordered and each once. Those with texts under names are asked for one text, by a name that is written there: whoever evaluates elsewhere than the proxy
// must be told it.
func read(root ast.Expr) (*reader, error) {
	r := &reader{bound: map[string]int{}}
	r.read(root)
	slices.SortFunc(r.uses, func(a, b Name) int {
		return cmp.Or(strings.Compare(a.Root, b.Root), strings.Compare(a.Field, b.Field), strings.Compare(a.Key, b.Key))
	})
	slices.Sort(r.strange)
	r.uses, r.strange = slices.Compact(r.uses), slices.Compact(r.strange)
	return r, r.err
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, args...)
	}
}

func (r *reader) read(x ast.Expr) {
	switch x.Kind() {
	case ast.SelectKind:
		r.selected(x)
	case ast.CallKind:
		r.call(x.AsCall())
	case ast.IdentKind:
		switch name := x.AsIdent(); {
		case r.bound[name] > 0:
		case known[name] != nil:
			r.fail("%s is asked for as a whole: name an attribute of it", name)
		default:
			r.fail("there is no attribute %s", name)
		}
	case ast.ListKind:
		for _, e := range x.AsList().Elements() {
			r.read(e)
		}
	case ast.MapKind:
		for _, e := range x.AsMap().Entries() {
			r.read(e.AsMapEntry().Key())
			r.read(e.AsMapEntry().Value())
		}
	case ast.StructKind:
		r.fail("the expression makes a message")
	case ast.ComprehensionKind:
		r.strange = append(r.strange, "macros that go through a list, such as exists")
		r.comprehension(x.AsComprehension())
	}
}

func (r *reader) comprehension(c ast.ComprehensionExpr) {
	r.read(c.IterRange())
	r.read(c.AccuInit())
	names := []string{c.IterVar(), c.IterVar2(), c.AccuVar()}
	for _, n := range names {
		r.bound[n]++
	}
	for _, e := range []ast.Expr{c.LoopCondition(), c.LoopStep(), c.Result()} {
		r.read(e)
	}
	for _, n := range names {
		r.bound[n]--
	}
}

// attribute says whether an expression is ROOT.FIELD.
func (r *reader) attribute(x ast.Expr) (n Name, of kind, ok bool) {
	if x.Kind() != ast.SelectKind || x.AsSelect().Operand().Kind() != ast.IdentKind {
		return n, of, false
	}
	n = Name{Root: x.AsSelect().Operand().AsIdent(), Field: x.AsSelect().FieldName()}
	fields := known[n.Root]
	if fields == nil || r.bound[n.Root] > 0 {
		return n, of, false
	}
	of, ok = fields[n.Field]
	if !ok {
		r.fail("there is no attribute %s", n)
	}
	return n, of, true
}

func (r *reader) use(n Name) { r.uses = append(r.uses, n) }

func (r *reader) selected(x ast.Expr) {
	if n, of, ok := r.attribute(x); ok {
		if of == ofTexts {
			r.fail("of %s one is asked for by its name, such as %s[\"x-name\"]", n, n)
		}
		r.use(n)
		return
	}
	s := x.AsSelect()
	if n, of, ok := r.attribute(s.Operand()); ok && of == ofTexts { // request.headers.name
		if !header.MatchString(s.FieldName()) {
			r.fail("%s.%s: the name of a header is written in lower case", n, s.FieldName())
		}
		r.use(Name{Root: n.Root, Field: n.Field, Key: s.FieldName()})
		return
	}
	r.read(s.Operand())
}

// call is a function or an operator; an index and the operator in may ask for one text.
func (r *reader) call(c ast.CallExpr) {
	args := c.Args()
	switch name := c.FunctionName(); {
	case !environment.HasFunction(name):
		r.fail("there is no function %s", name)
	case name == "string":
		r.strange = append(r.strange, "string()")
	}
	if len(args) == 2 && (c.FunctionName() == operators.Index || c.FunctionName() == operators.In) {
		texts, key := args[0], args[1]
		if c.FunctionName() == operators.In {
			texts, key = key, texts
		}
		if n, of, ok := r.attribute(texts); ok && of == ofTexts {
			name, written := "", false
			if key.Kind() == ast.LiteralKind {
				name, written = key.AsLiteral().Value().(string)
			}
			if !written || !header.MatchString(name) {
				r.fail("of %s one is asked for by its name, such as %s[\"x-name\"], in lower case", n, n)
			}
			r.use(Name{Root: n.Root, Field: n.Field, Key: name})
			return
		}
	}
	if c.IsMemberFunction() {
		r.read(c.Target())
	}
	for _, a := range args {
		r.read(a)
	}
}
