package mesh

import (
	"iter"
	"reflect"
)

// Noun names one table of a snapshot, in a Key.
type Noun uint8

// The nouns that can be read, one for each table of Snapshot (Settings is a single value).
const (
	OfSettings Noun = iota
	OfServices
	OfHosts
	OfEndpoints
	OfWorkloads
	OfRoutes
	OfMeshRoutes
	OfCalled
	OfGateRoutes
	OfTraffic
	OfGateways
	OfAuthn
	OfAuthz
	OfDenials
	OfSecrets
	OfBackendTLS
	OfSidecars
	OfFilters
	OfTelemetry
	// OfDerived is for indexes that a reader keeps for itself; Diff never gives it.
	OfDerived
)

// Key names what a reader may have read: one entry of a table, present or absent, or (Name nil) the table as a whole.
type Key struct {
	Noun Noun
	Name any // the table's key: ServiceID, Host, Namespace, ...; nil for the whole table and for the settings
}

// Diff gives the keys that changed between two snapshots, and only those. When an entry of a table changed, the key of the whole table
// follows its entries. A nil snapshot is an empty one.
func Diff(before, after *Snapshot) iter.Seq[Key] {
	if before == nil {
		before = &Snapshot{}
	}
	if after == nil {
		after = &Snapshot{}
	}
	return func(yield func(Key) bool) {
		if !reflect.DeepEqual(before.Settings, after.Settings) && !yield(Key{Noun: OfSettings}) {
			return
		}
		_ = changed(OfServices, before.Services, after.Services, yield) &&
			changed(OfHosts, before.Hosts, after.Hosts, yield) &&
			changed(OfEndpoints, before.Endpoints, after.Endpoints, yield) &&
			changed(OfWorkloads, before.Workloads, after.Workloads, yield) &&
			changed(OfRoutes, before.Routes, after.Routes, yield) &&
			changed(OfMeshRoutes, before.MeshRoutes, after.MeshRoutes, yield) &&
			changed(OfCalled, before.Called, after.Called, yield) &&
			changed(OfGateRoutes, before.GateRoutes, after.GateRoutes, yield) &&
			changed(OfTraffic, before.Traffic, after.Traffic, yield) &&
			changed(OfGateways, before.Gateways, after.Gateways, yield) &&
			changed(OfAuthn, before.Authn, after.Authn, yield) &&
			changed(OfAuthz, before.Authz, after.Authz, yield) &&
			changed(OfDenials, before.Denials, after.Denials, yield) &&
			changed(OfSecrets, before.Secrets, after.Secrets, yield) &&
			changed(OfBackendTLS, before.BackendTLS, after.BackendTLS, yield) &&
			changed(OfSidecars, before.Sidecars, after.Sidecars, yield) &&
			changed(OfFilters, before.Filters, after.Filters, yield) &&
			changed(OfTelemetry, before.Telemetry, after.Telemetry, yield)
	}
}

func changed[K comparable, V any](noun Noun, before, after Table[K, V], yield func(Key) bool) bool {
	found := false
	for k := range DiffTable(before, after) {
		found = true
		if !yield(Key{Noun: noun, Name: k}) {
			return false
		}
	}
	return !found || yield(Key{Noun: noun})
}
