// Package nametable compiles what a proxy's DNS server answers.
//
// In: a View. Out: the encoded name table of Istio's NDS. Pure and safe for concurrent use.
package nametable

import (
	"github.com/heddle-mesh/heddle/control/compile/view"
	"github.com/heddle-mesh/heddle/control/names"
	"github.com/heddle-mesh/heddle/mesh"
	"github.com/heddle-mesh/heddle/xds/nds"
)

// Name is the one resource of its type.
const Name = "NameTable"

// Compile encodes the names of all services that the proxy sees, with the addresses that it captures.
func Compile(v *view.View) []byte {
	entries := names.Table(v.Named(), func(id mesh.ServiceID) *mesh.EndpointSet {
		return &mesh.EndpointSet{Service: id, Endpoints: v.Endpoints(id)}
	})
	for alias, s := range v.Stand() { // what they stand for has addresses
		as := *s
		as.ID, as.ShortName, as.Registry = alias.ID, alias.ShortName, alias.Registry
		var set *mesh.EndpointSet
		if s.Headless {
			set = &mesh.EndpointSet{Service: s.ID, Endpoints: v.Endpoints(s.ID)}
		} else if as.Addresses = v.Addresses(s); s.AutoAddress {
			as.Addresses = s.Addresses
		}
		entries = append(entries, names.Of(&as, set)...)
	}
	table := nds.Table{}
	for _, e := range entries {
		h := nds.Host{Registry: e.Registry, Shortname: e.ShortName, Namespace: string(e.Namespace)}
		for _, a := range e.Addresses {
			h.IPs = append(h.IPs, a.String())
		}
		table[string(e.Host)] = h
	}
	return table.Marshal()
}
