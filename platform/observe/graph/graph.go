// Package graph is the mesh as a picture: who calls whom, how much, how fast and how well, at a moment and over the window before it.
//
// In: Istio's standard metrics, asked in PromQL from any Prometheus (Read), or the samples themselves (Build, which is pure). Out: a Graph, whose JSON form is the answer of
// the dashboard's /api/graph. The same samples give the same bytes. Values are immutable; safe for concurrent use.
package graph

import (
	"fmt"
	"time"
)

// Type says what a node stands for.
type Type string

// The types of graphs, in Kiali's words.
const (
	Workload     Type = "workload"     // what runs: a Deployment, or a process of the laptop mode
	App          Type = "app"          // workloads of one canonical service
	VersionedApp Type = "versionedApp" // the same, each version for itself
	Service      Type = "service"      // what is called
)

// Types are all types.
var Types = []Type{Workload, App, VersionedApp, Service}

// ParseType finds a type; "" is Workload.
func ParseType(s string) (Type, error) {
	if s == "" {
		return Workload, nil
	}
	for _, t := range Types {
		if s == string(t) {
			return t, nil
		}
	}
	return "", fmt.Errorf("type %q is not a type of graph; use workload, app, versionedApp or service", s)
}

// Kind says what one node is.
type Kind string

// The kinds of nodes.
const (
	KindWorkload Kind = "workload"
	KindApp      Kind = "app"
	KindService  Kind = "service" // also what was called without that a workload answered: hosts outside, requests that found no endpoint
	KindUnknown  Kind = "unknown" // callers without a proxy
)

// Graph is the mesh over one window. Nodes and edges are ordered by their ids.
type Graph struct {
	Type   Type      `json:"type"`
	Time   time.Time `json:"time"`   // the end of the window
	Window float64   `json:"window"` // seconds
	Nodes  []Node    `json:"nodes"`
	Edges  []Edge    `json:"edges"`
	// Warnings are sentences about what may be missing.
	Warnings []string `json:"warnings,omitempty"`
}

// Node is one end of edges.
type Node struct {
	ID        string `json:"id"` // KIND:NAMESPACE/NAME[/VERSION][@CLUSTER]; the same in every graph of this type
	Kind      Kind   `json:"kind"`
	Name      string `json:"name"`
	Namespace string `json:"namespace,omitempty"`
	Cluster   string `json:"cluster,omitempty"`
	App       string `json:"app,omitempty"`     // canonical service
	Version   string `json:"version,omitempty"` // canonical revision
	// Boxes are what the node is in, from the outside: cluster:NAME, namespace:NAME, app:NAME.
	Boxes  []string `json:"boxes,omitempty"`
	Health Health   `json:"health"`
	In     Traffic  `json:"in"`  // what it was asked
	Out    Traffic  `json:"out"` // what it asked others
	// Own is the median of its own time, in milliseconds: that of what it is asked, without that of the slowest call that it makes. An estimate, null where it is not asked.
	Own *float64 `json:"own"`
}

// Edge is what one node asks another in one protocol.
type Edge struct {
	ID       string   `json:"id"` // SOURCE>TARGET>PROTOCOL
	Source   string   `json:"source"`
	Target   string   `json:"target"`
	Protocol string   `json:"protocol"`           // http, grpc or tcp
	Services []string `json:"services,omitempty"` // hosts that were asked for
	// Reporter is whose proxy measured: source if it told anything, because it also sees what never arrives; else destination. Both are never added.
	Reporter string  `json:"reporter"`
	Health   Health  `json:"health"`
	Traffic  Traffic `json:"traffic"`
}

// Traffic are the golden signals. Rates are per second, shares from 0 to 1; what is not known is null.
type Traffic struct {
	Rate         float64  `json:"rate"`                   // requests of HTTP and gRPC
	ErrorRate    float64  `json:"errorRate"`              // share with 5xx, without response, or with a gRPC status other than OK
	ClientErrors float64  `json:"clientErrorRate"`        // share with 4xx
	P50          *float64 `json:"p50"`                    // milliseconds
	P95          *float64 `json:"p95"`                    // milliseconds
	P99          *float64 `json:"p99"`                    // milliseconds
	Request      float64  `json:"requestBytes"`           // bytes of requests, and those received from clients over TCP
	Response     float64  `json:"responseBytes"`          // bytes of responses, and those sent to clients over TCP
	Connections  float64  `json:"connections"`            // TCP connections opened
	MTLS         *float64 `json:"mtls"`                   // share that came by mutual TLS, by what servers' proxies tell
	Codes        Rates    `json:"codes,omitempty"`        // requests by response code; - is no response
	GRPC         Rates    `json:"grpcStatuses,omitempty"` // requests by gRPC status
	Flags        Rates    `json:"flags,omitempty"`        // requests and connections by response flags, without those that have none
}

// Rates are rates per second by a label's value.
type Rates map[string]float64
