// Package catalog links every type of Envoy's configuration, so that they can be found by their names.
package catalog
