package config

import "time"

// Overload is envoy.config.overload.v3.OverloadManager: what is watched, and what is done when there is too much of it.
type Overload struct {
	Refresh time.Duration // how often is looked
	// MaxHeap is the memory of the process in bytes at which its pressure is 1 (envoy.resource_monitors.fixed_heap); 0: not watched.
	MaxHeap uint64
	// MaxConnections bounds the clients' connections of the whole proxy (envoy.resource_monitors.global_downstream_max_connections); 0 for no bound.
	MaxConnections uint64
	Actions        []OverloadAction
}

// OverloadAction is one of the things that can be done, and when.
type OverloadAction struct {
	Kind     OverloadKind
	Triggers []OverloadTrigger // the one with the highest state counts
}

// OverloadTrigger turns a pressure into a state from 0 to 1: 0 up to Low, 1 from High on, a line between them.
type OverloadTrigger struct {
	Resource  OverloadResource
	Low, High float64
}

// OverloadResource is what is watched.
type OverloadResource uint8

// The resources.
const (
	Heap OverloadResource = iota
	Connections
)

// String is Envoy's name of the resource monitor.
func (r OverloadResource) String() string {
	return [...]string{"envoy.resource_monitors.fixed_heap", "envoy.resource_monitors.global_downstream_max_connections"}[r]
}

// OverloadKind is what is done.
type OverloadKind uint8

// The actions.
const (
	StopRequests OverloadKind = iota
	DisableKeepAlive
	StopConnections
	RejectConnections
	ShrinkHeap
	ResetStreams  // those that hold most memory
	OverloadKinds // their number
)

// String is Envoy's name of the action.
func (k OverloadKind) String() string {
	return "envoy.overload_actions." + [...]string{"stop_accepting_requests", "disable_http_keepalive", "stop_accepting_connections", "reject_incoming_connections", "shrink_heap", "reset_high_memory_stream"}[k]
}
