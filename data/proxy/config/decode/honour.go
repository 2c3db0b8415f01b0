// Package decode turns Envoy's resources (xDS v3) and bootstrap files into the proxy's own plain configuration, or says what it cannot honour.
//
// In: encoded or typed resources. Out: values of package config, or Problems, each with the path of the field. A field that is populated and not in the table of
// honoured fields is a problem, whatever it is: nothing that was configured is ignored. Everything is pure and safe for concurrent use.
package decode

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/heddle-mesh/heddle/xds/honour"
)

// Problem is one thing that cannot be honoured.
type Problem = honour.Problem

// Problems is a non-empty list of problems as an error.
type Problems []Problem

// Error lists the first few problems in one line.
func (p Problems) Error() string {
	const most = 8
	parts := make([]string, 0, most+1)
	for i, one := range p {
		if i == most {
			parts = append(parts, fmt.Sprintf("and %d more", len(p)-most))
			break
		}
		parts = append(parts, one.String())
	}
	return strings.Join(parts, "; ")
}

// problems collects while reading goes on, so that a user sees all of them at once.
type problems struct{ list Problems }

func (p *problems) add(path, format string, args ...any) {
	p.list = append(p.list, Problem{Path: path, Reason: fmt.Sprintf(format, args...)})
}

func (p *problems) err() error {
	if len(p.list) == 0 {
		return nil
	}
	return p.list
}

// honour reports every populated field below m that the table does not list. Any values are opened by their type.
func (p *problems) honour(path string, m protoreflect.Message) {
	p.list = append(p.list, honour.Check(path, m)...)
}

// open unpacks an Any of a type that is linked into this binary.
func open(a *anypb.Any) (proto.Message, error) { return honour.Open(a) }

// into unpacks an Any that honour has already looked at.
func into[M proto.Message](p *problems, path string, a *anypb.Any) (m M, ok bool) {
	inner, err := open(a)
	if err != nil {
		return m, false // reported by honour
	}
	if m, ok = inner.(M); !ok {
		p.add(path, "%s is not expected here, want %s", short(a.MessageName()), short(m.ProtoReflect().Descriptor().FullName()))
	}
	return m, ok
}

// short is a message's name without the packages that everybody knows.
func short(n protoreflect.FullName) string {
	if n == "" {
		return "a message without a type"
	}
	return string(n)
}

func join(path, field string) string {
	if path == "" {
		return field
	}
	return path + "." + field
}

func at(path, field string, i int) string { return fmt.Sprintf("%s[%d]", join(path, field), i) }

// sorted gives problems in the order of their paths, without repetition: reflection walks fields in no particular order.
func sorted(list Problems) Problems {
	slices.SortStableFunc(list, func(a, b Problem) int {
		if c := strings.Compare(a.Path, b.Path); c != 0 {
			return c
		}
		return strings.Compare(a.Reason, b.Reason)
	})
	return slices.Compact(list)
}

func indexed(i int) string { return fmt.Sprintf("[%d]", i) }
