// Package edge holds what heddle-proxy does at the border of a mesh against stock Envoy: one bootstrap file, both proxies, the same answers.
package edge
