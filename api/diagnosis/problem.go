// Package diagnosis is the vocabulary of what is wrong with a user's object: which object, which field, why, and the next step.
//
// It imports nothing, so that every tier may speak it. All values are plain data and safe to share once built.
package diagnosis

// Namespace is a Kubernetes namespace.
type Namespace string

// Ref names a user's object.
type Ref struct {
	Group, Kind string
	Namespace   Namespace
	Name        string
}

// String is KIND/NAMESPACE/NAME, or KIND/NAME for a cluster-scoped kind.
func (r Ref) String() string {
	if r.Namespace == "" {
		return r.Kind + "/" + r.Name
	}
	return r.Kind + "/" + string(r.Namespace) + "/" + r.Name
}

// Code says what kind of problem it is; it is the reason of the status condition.
type Code string

// The codes of decoding and translation. Status reasons of the Gateway API are used as they are where one fits.
const (
	CodeInvalid      Code = "Invalid"      // the object breaks the rules of its kind; it has no effect (the last good one stays)
	CodeNotEnforced  Code = "NotEnforced"  // a field that Heddle does not honour yet
	CodeNotFound     Code = "NotFound"     // it names something that does not exist
	CodeConflict     Code = "Conflict"     // an older object has claimed the same thing
	CodeUnsupported  Code = "Unsupported"  // the kind or value cannot be honoured
	CodeUnknownField Code = "UnknownField" // the schema has no such field
	CodeDenied       Code = "Denied"       // a security object cannot be enforced: its workloads deny
	CodeMerged       Code = "Merged"       // nothing is wrong: the object counts together with others, as it asks for
)

// Fatal says whether an object with such a problem has no effect at all.
func (c Code) Fatal() bool { return c == CodeInvalid || c == CodeUnknownField }

// Problem is a user's mistake or an unhonoured wish. One type for status, admission, analyzer and command line.
type Problem struct {
	Object  Ref
	Field   string // path such as spec.http[0].route[1].weight, "" for the whole object
	Code    Code
	Message string // one sentence that names the thing
	Hint    string // the next step
}

// String is one line for logs and the command line.
func (p Problem) String() string {
	s := p.Object.String()
	if p.Field != "" {
		s += " " + p.Field
	}
	s += ": " + p.Message
	if p.Hint != "" {
		s += "; " + p.Hint
	}
	return s
}
