// Package api is what users write: the kinds that Heddle reads, their strict decoding, and which of their fields are enforced.
//
// In: YAML or JSON documents, or the generic maps of a Kubernetes client. Out: Objects with typed specs, and Problems that name object, field and next
// step. Everything here is pure and safe for concurrent use; the tables are read-only after start.
package api

import "github.com/heddle-mesh/heddle/api/diagnosis"

// Problem is a user's mistake or an unhonoured wish.
type Problem = diagnosis.Problem

// Ref names a user's object.
type Ref = diagnosis.Ref

// Code says what kind of problem it is.
type Code = diagnosis.Code

// Namespace is a Kubernetes namespace.
type Namespace = diagnosis.Namespace
