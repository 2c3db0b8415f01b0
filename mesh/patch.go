package mesh

import (
	"regexp"
	"time"
)

// EnvoyFilter is one EnvoyFilter: changes to what proxies are given, made after everything else was compiled.
type EnvoyFilter struct {
	Origin   Ref
	Created  time.Time
	Priority int32 // lower comes first within a namespace
	// Selectors say which proxies of the namespace (of the root namespace: of all) are meant, each by itself; none at all means every one.
	Selectors []Labels
	// Gateways says that only gateways are meant (targetRefs).
	Gateways bool
	Patches  []*Patch
}

// PatchTarget is what a patch changes (applyTo).
type PatchTarget uint8

// The targets, in the order in which the patches of one resource are applied.
const (
	PatchListener PatchTarget = iota + 1
	PatchListenerFilter
	PatchFilterChain
	PatchNetworkFilter
	PatchHTTPFilter
	PatchRouteConfiguration
	PatchVirtualHost
	PatchHTTPRoute
	PatchCluster
	PatchExtension
)

// PatchContext is the side of the traffic that a patch is about.
type PatchContext uint8

// The contexts. PatchAnywhere is all of them.
const (
	PatchAnywhere PatchContext = iota
	PatchInbound
	PatchOutbound
	PatchGateway
)

// PatchOperation is what a patch does.
type PatchOperation uint8

// The operations.
const (
	PatchMerge      PatchOperation = iota + 1
	PatchMergeLists                // merge, but lists take the place of lists
	PatchAdd
	PatchRemove
	PatchInsertBefore
	PatchInsertAfter
	PatchInsertFirst
	PatchReplace
)

// PatchClass places an added HTTP filter (filterClass).
type PatchClass uint8

// The classes.
const (
	PatchUnplaced    PatchClass = iota
	PatchAfterAuthn             // behind the filters that authenticate
	PatchAfterAuthz             // behind the filters that authorize
	PatchBeforeStats            // right before the router: what counts requests comes behind all filters
)

// Patch is one change.
type Patch struct {
	ID      string // a hash of all that it says and of where it stands: another patch has another ID
	Origin  Ref
	Path    string // spec.configPatches[0]
	Target  PatchTarget
	Context PatchContext
	// Version and Metadata narrow the proxies further: what they say of themselves. Nil matches.
	Version   *regexp.Regexp
	Metadata  map[string]string
	Match     PatchMatch
	Operation PatchOperation
	Class     PatchClass
	Value     []byte // the encoded message of the target's type; nil when something is removed
	Names     string // the name in the value
	Guards    bool   // it takes part in authentication, authorization or TLS: a proxy that cannot honour it must not let requests through instead
}

// PatchMatch says which resources and which parts of them a patch is for; what is not said matches.
type PatchMatch struct {
	Name string // of the listener, route configuration or cluster
	Port uint32

	// Of listeners.
	Chain          *PatchChain
	ListenerFilter string

	// Of route configurations.
	PortName, Gateway string
	Host              *PatchHost

	// Of clusters.
	Service, Subset string
}

// PatchChain matches a filter chain, and filters in it.
type PatchChain struct {
	Name, SNI, Transport string
	Socket               string   // the name of its transport socket
	Protocols            []string // each of them must be named by the chain
	Port                 uint32   // of the destination
	Filter, SubFilter    string
}

// PatchHost matches a virtual host, and routes in it.
type PatchHost struct {
	Name, Domain string
	Route        *PatchRoute
}

// PatchRoute matches a route.
type PatchRoute struct {
	Name   string
	Action PatchAction
}

// PatchAction is what a matched route does.
type PatchAction uint8

// The actions.
const (
	PatchAnyAction PatchAction = iota
	PatchRouteAction
	PatchRedirect
	PatchDirectResponse
)
