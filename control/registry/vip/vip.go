// Package vip gives addresses to services that have none, from the ranges that Istio uses for the same purpose.
//
// In: names of services, and the addresses that are written in the objects of some. Out: one IPv4 and one IPv6 address each. An address depends on the name alone unless two names
// collide, and what was given is kept in a record, so a restart changes no address. An Allocator is for one goroutine.
package vip

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"net/netip"
	"os"
	"path/filepath"
	"slices"

	"github.com/heddle-mesh/heddle/xds/nds"
)

const (
	slots         = 1<<16 - 2 // of nds.Given4, without the network's and the broadcast address
	formatVersion = 1
)

// ErrFull is the error when all 65,534 addresses are in use.
var ErrFull = errors.New("the range 240.240.0.0/16 is used up; give the services addresses of their own")

// Allocator gives addresses.
type Allocator struct {
	path   string
	given  map[string][]netip.Addr // by name
	holder map[netip.Addr]string
	// written are names whose addresses stand in their objects, where everybody reads them: they go before those that only we know of.
	written map[string]bool
	// given in an earlier run and not asked for yet in this one: they keep their place until the first Settle.
	stale map[string]bool
	dirty bool
}

type record struct {
	Version int               `json:"version"`
	Slots   map[string]uint16 `json:"slots"`
	// Adopted are addresses that were written elsewhere and are those of no slot.
	Adopted map[string][]netip.Addr `json:"adopted,omitempty"`
}

// Open reads the record, if there is one. An empty path keeps nothing across restarts.
func Open(path string) (*Allocator, error) {
	a := &Allocator{path: path, given: map[string][]netip.Addr{}, holder: map[netip.Addr]string{}, written: map[string]bool{}, stale: map[string]bool{}}
	if path == "" {
		return a, nil
	}
	raw, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return a, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read addresses given to services: %w", err)
	}
	var r record
	if err := json.Unmarshal(raw, &r); err != nil {
		return nil, fmt.Errorf("read addresses given to services %s: %w; remove the file and they are given anew", path, err)
	}
	if r.Version > formatVersion {
		return nil, fmt.Errorf("read addresses given to services %s: format version %d is newer than this heddled's %d; upgrade heddled", path, r.Version, formatVersion)
	}
	for name, s := range r.Slots {
		if s == 0 || s > slots || !a.vacant(s) {
			return nil, fmt.Errorf("read addresses given to services %s: slot %d of %s is out of range or given twice; remove the file and they are given anew", path, s, name)
		}
		a.set(name, slotted(s))
		a.stale[name] = true
	}
	for name, ips := range r.Adopted {
		if len(usable(ips)) != len(ips) || a.holders(name, ips) != nil {
			return nil, fmt.Errorf("read addresses given to services %s: %v of %s are out of range or given twice; remove the file and they are given anew", path, ips, name)
		}
		a.set(name, ips)
		a.stale[name] = true
	}
	a.dirty = false
	return a, nil
}

// Has says whether the name holds addresses already.
func (a *Allocator) Has(name string) bool { return a.given[name] != nil }

// Give returns the addresses of a name; the first time it picks them. To be independent of the order of events, give many new names in sorted order.
func (a *Allocator) Give(name string) ([]netip.Addr, error) {
	delete(a.stale, name)
	if ips := a.given[name]; ips != nil {
		return ips, nil
	}
	s := a.free(name)
	if s == 0 {
		return nil, ErrFull
	}
	a.set(name, slotted(s))
	return a.given[name], nil
}

// Adopt makes a name hold the addresses that are written in its object, by whatever control plane: they were told to clients. Those out of the ranges, and those that another name's
// object has too, count for nothing. It gives the names that must have other addresses now.
func (a *Allocator) Adopt(name string, ips []netip.Addr) (losers []string) {
	if ips = usable(ips); len(ips) == 0 {
		return nil
	}
	if slices.Equal(a.given[name], ips) {
		a.written[name] = true
		return nil
	}
	losers = a.holders(name, ips)
	if slices.ContainsFunc(losers, func(other string) bool { return a.written[other] }) {
		return nil
	}
	for _, other := range append(losers, name) {
		a.Release(other)
	}
	a.set(name, ips)
	a.written[name] = true
	return losers
}

// usable are the first address of each family, if it is one that may be given.
func usable(ips []netip.Addr) (out []netip.Addr) {
	for _, of := range []netip.Prefix{nds.Given4, nds.Given6} {
		i := slices.IndexFunc(ips, func(ip netip.Addr) bool { return of.Contains(ip) && of.Contains(ip.Prev()) && of.Contains(ip.Next()) })
		if i >= 0 {
			out = append(out, ips[i])
		}
	}
	return out
}

// holders are the other names that hold one of the addresses.
func (a *Allocator) holders(name string, ips []netip.Addr) (out []string) {
	for _, ip := range ips {
		if other, taken := a.holder[ip]; taken && other != name && !slices.Contains(out, other) {
			out = append(out, other)
		}
	}
	return out
}

func (a *Allocator) set(name string, ips []netip.Addr) {
	a.given[name], a.dirty = ips, true
	for _, ip := range ips {
		a.holder[ip] = name
	}
}

// vacant says whether nobody holds an address of the slot.
func (a *Allocator) vacant(slot uint16) bool { return a.holders("", slotted(slot)) == nil }

// free probes from the name's own hash with a step of its own, so colliding names part at once. It gives 0 if no slot is free.
func (a *Allocator) free(name string) uint16 {
	h := fnv.New64a()
	h.Write([]byte(name))
	sum := h.Sum64()
	first := uint32(sum % slots)
	step := uint32(sum>>32)%(slots-1) + 1
	for range slots {
		if s := uint16(first) + 1; a.vacant(s) {
			return s
		}
		first = (first + step) % slots
	}
	// The step may share a factor with the number of slots and miss some.
	for s := uint16(1); s <= slots; s++ {
		if a.vacant(s) {
			return s
		}
	}
	return 0
}

// Release gives the addresses of a name back.
func (a *Allocator) Release(name string) {
	for _, ip := range a.given[name] {
		delete(a.holder, ip)
		a.dirty = true
	}
	delete(a.given, name)
	delete(a.written, name)
	delete(a.stale, name)
}

// Settle releases what an earlier run gave and nobody asked for since, and writes the record if it changed.
// Call it when the first complete view of the services has been given its addresses, and then after changes.
func (a *Allocator) Settle() error {
	for name := range a.stale {
		a.Release(name)
	}
	if !a.dirty || a.path == "" {
		a.dirty = false
		return nil
	}
	r := record{Version: formatVersion, Slots: map[string]uint16{}, Adopted: map[string][]netip.Addr{}}
	for name, ips := range a.given {
		if s := slot(ips); s != 0 {
			r.Slots[name] = s
		} else {
			r.Adopted[name] = ips
		}
	}
	raw, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return fmt.Errorf("write addresses given to services: %w", err)
	}
	part := filepath.Join(filepath.Dir(a.path), "."+filepath.Base(a.path))
	if err := os.WriteFile(part, append(raw, '\n'), 0o600); err != nil {
		return fmt.Errorf("write addresses given to services: %w", err)
	}
	if err := os.Rename(part, a.path); err != nil {
		return fmt.Errorf("write addresses given to services: %w", err)
	}
	a.dirty = false
	return nil
}

func slotted(slot uint16) []netip.Addr { return []netip.Addr{ip4(slot), ip6(slot)} }

// slot is the one that has exactly these addresses, 0 if there is none.
func slot(ips []netip.Addr) uint16 {
	if len(ips) != 2 || !ips[0].Is4() {
		return 0
	}
	b := ips[0].As4()
	if s := binary.BigEndian.Uint16(b[2:]); slices.Equal(ips, slotted(s)) {
		return s
	}
	return 0
}

func ip4(slot uint16) netip.Addr {
	b := nds.Given4.Addr().As4()
	binary.BigEndian.PutUint16(b[2:], slot)
	return netip.AddrFrom4(b)
}

// ip6 is 2001:2::f0f0:XXXX, as Istio's.
func ip6(slot uint16) netip.Addr {
	b := nds.Given6.Addr().As16()
	b[12], b[13] = 0xf0, 0xf0
	binary.BigEndian.PutUint16(b[14:], slot)
	return netip.AddrFrom16(b)
}
