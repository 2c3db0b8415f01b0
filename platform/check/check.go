// Package check looks whether a cluster can take Heddle, and whether an installed one is well.
//
// In: a Kubernetes API. Out: one Finding for each thing that was looked at, each of the bad ones with one hint. It changes nothing.
package check

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
)

// Result says how bad a finding is.
type Result string

// A warning is something to know that stops nothing.
const (
	Success Result = "success"
	Warning Result = "warning"
	Failure Result = "error"
)

// Finding is one thing that was looked at.
type Finding struct {
	Category    string
	Description string // what should be
	Result      Result
	Error       string // what is, when it is not as it should be
	Hint        string // what to do about it
}

// Options say what is looked at.
type Options struct {
	Namespace, Revision string
	Version             string // of this program
	Before              bool   // before an installation; otherwise after it
}

// Cluster is what is asked.
type Cluster struct {
	Typed   kubernetes.Interface
	Dynamic dynamic.Interface
}

// one is one thing to look at. It gives nil, an error, or a warning.
type one struct {
	category, description, hint string
	essential                   bool // without it the rest cannot be looked at
	look                        func(context.Context, *state) error
}

// state is what earlier looks found out.
type state struct {
	Cluster
	Options
	server *version.Info
	roots  string // PEM, of the authority
}

// errNothing says that there is nothing to look at.
var errNothing = errors.New("nothing to look at")

// warning is an error that stops nothing.
type warning struct{ error }

// note is no error: it says more of what is as it should be.
type note string

// Error is the text.
func (n note) Error() string { return string(n) }

func warn(format string, args ...any) error { return warning{fmt.Errorf(format, args...)} }

// Run looks at everything, and tells each finding as soon as there is one.
func Run(ctx context.Context, c Cluster, o Options, tell func(Finding)) {
	s := &state{Cluster: c, Options: o}
	all := append(kubernetesAPI(), controlPlane()...)
	all = slices.Concat(all, webhooks(), nodes(), dataPlane())
	if o.Before {
		all = append(kubernetesAPI(), before()...)
	}
	for _, x := range all {
		f := Finding{Category: x.category, Description: x.description, Result: Success}
		err := x.look(ctx, s)
		if errors.Is(err, errNothing) {
			continue
		}
		if n := note(""); errors.As(err, &n) {
			f.Description += " (" + n.Error() + ")"
			err = nil
		}
		if err != nil {
			f.Result, f.Error, f.Hint = Failure, err.Error(), x.hint
			if w := (warning{}); errors.As(err, &w) {
				f.Result = Warning
			}
		}
		tell(f)
		if f.Result == Failure && x.essential {
			return
		}
	}
}

// some is a list that is cut where nobody reads on.
func some(names []string) string {
	const most = 5
	text := ""
	for i, n := range names {
		if i == most {
			return fmt.Sprintf("%s and %d more", text, len(names)-most)
		}
		if i > 0 {
			text += ", "
		}
		text += n
	}
	return text
}
