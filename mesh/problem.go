package mesh

import "github.com/heddle-mesh/heddle/api/diagnosis"

// Namespace is a Kubernetes namespace.
type Namespace = diagnosis.Namespace

// Ref names a user's object.
type Ref = diagnosis.Ref

// Code says what kind of problem it is; it is the reason of the status condition.
type Code = diagnosis.Code

// Problem is a user's mistake or an unhonoured wish. One type for status, admission, analyzer and command line.
type Problem = diagnosis.Problem

// The codes; package diagnosis says what each means.
const (
	CodeInvalid      = diagnosis.CodeInvalid
	CodeNotEnforced  = diagnosis.CodeNotEnforced
	CodeNotFound     = diagnosis.CodeNotFound
	CodeConflict     = diagnosis.CodeConflict
	CodeUnsupported  = diagnosis.CodeUnsupported
	CodeUnknownField = diagnosis.CodeUnknownField
	CodeDenied       = diagnosis.CodeDenied
	CodeMerged       = diagnosis.CodeMerged
)
