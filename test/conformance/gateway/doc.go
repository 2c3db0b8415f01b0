// Package gateway runs the conformance suite of the Gateway API against a mesh on a real cluster: run.sh.
package gateway
