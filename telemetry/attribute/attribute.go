// Package attribute evaluates expressions over what is known of a request or connection: CEL, with Envoy's attributes (envoy docs, "Attributes").
//
// In: the text of an expression, once, and then a Source for each request. Out: a value as text, or whether it is true. Parsing refuses what no proxy of ours could answer: syntax, and attributes that
// are not in the table. Evaluation is bounded. An Expression is immutable and safe for concurrent use.
package attribute

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// Source gives the attributes of one request or connection: texts, int64, bool, time.Duration and time.Time. False is for what is not known.
type Source interface {
	Attribute(Name) (value any, ok bool)
}

// mostCost bounds an evaluation, in CEL's units: a comparison of texts is a few.
const mostCost = 10_000

// Expression is one that can be evaluated.
type Expression struct {
	text    string
	program cel.Program
	uses    []Name
	strange []string
}

var environment = declare()

func declare() *cel.Env {
	var vars []cel.EnvOption
	for root := range known {
		vars = append(vars, cel.Variable(root, cel.DynType))
	}
	env, err := cel.NewEnv(vars...)
	if err != nil {
		panic(err) // of constants
	}
	return env
}

// Parse reads an expression. The error says what is wrong with it, in one sentence.
func Parse(text string) (*Expression, error) {
	tree, r, err := parsed(text)
	if err != nil {
		return nil, err
	}
	program, err := environment.Program(tree, cel.CostLimit(mostCost), cel.EvalOptions(cel.OptOptimize))
	if err != nil {
		return nil, fmt.Errorf("the expression cannot be evaluated: %s", firstLine(err))
	}
	return &Expression{text: text, program: program, uses: r.uses, strange: r.strange}, nil
}

// Uses are the attributes that an expression names, for who does not evaluate it.
func Uses(text string) ([]Name, error) {
	_, r, err := parsed(text)
	if err != nil {
		return nil, err
	}
	return r.uses, nil
}

func parsed(text string) (*cel.Ast, *reader, error) {
	tree, issues := environment.Parse(text)
	if err := issues.Err(); err != nil {
		return nil, nil, fmt.Errorf("the expression is not CEL: %s", firstLine(err))
	}
	r, err := read(tree.NativeRep().Expr())
	return tree, r, err
}

// firstLine is an error without the picture of the place.
func firstLine(err error) string {
	line, _, _ := strings.Cut(strings.TrimPrefix(err.Error(), "ERROR: "), "\n")
	return line
}

// Uses are the attributes that the expression names, ordered.
func (e *Expression) Uses() []Name { return e.uses }

// String is its text.
func (e *Expression) String() string { return e.text }

// True says whether the expression is true of a source. One that cannot be evaluated, because an attribute is not known, is not.
func (e *Expression) True(s Source) bool {
	v, _, err := e.program.Eval(activation{s})
	return err == nil && v == types.True
}

// Text is the value of the expression as Envoy writes it; false when it has none.
func (e *Expression) Text(s Source) (string, bool) {
	v, _, err := e.program.Eval(activation{s})
	if err != nil || v == nil {
		return "", false
	}
	return text(v)
}

func text(v ref.Val) (string, bool) {
	switch x := v.Value().(type) {
	case string:
		return x, true
	case []byte:
		return string(x), true
	case int64:
		return strconv.FormatInt(x, 10), true
	case uint64:
		return strconv.FormatUint(x, 10), true
	case bool:
		return strconv.FormatBool(x), true
	case float64:
		return strconv.FormatFloat(x, 'g', -1, 64), true
	case time.Duration:
		return x.String(), true
	case time.Time:
		return x.UTC().Format(time.RFC3339Nano), true
	}
	return "", false
}
