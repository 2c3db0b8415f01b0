// Package istio judges Heddle by what Istio ships with its source: its samples, and what its analyzers must say of the objects of their tests. Nothing of it is in this repository:
// the module istio.io/istio, of the version that test/conformance/gateway names, is fetched when the tests run.
package istio
