// Package e2e tries bin/heddle as its users do: whole meshes with real processes, network namespaces and traffic.
//
// In: the built binaries. Out: nothing but its verdict: every test looks for what a mesh left behind. Tests run one after the other.
package e2e
