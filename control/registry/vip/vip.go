// Package vip gives addresses to services that have none, from the ranges that Istio uses for the same purpose.
//
// In: names of services. Out: one IPv4 and one IPv6 address each. An address depends on the name alone unless two names collide, and what was given is
// kept in a record, so a restart changes no address. An Allocator is for one goroutine.
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
	path  string
	slot  map[string]uint16 // name → slot, 0 is none
	owner map[uint16]string
	// given in an earlier run and not asked for yet in this one: they keep their place until the first Settle.
	stale map[string]bool
	dirty bool
}

type record struct {
	Version int               `json:"version"`
	Slots   map[string]uint16 `json:"slots"`
}

// Open reads the record, if there is one. An empty path keeps nothing across restarts.
func Open(path string) (*Allocator, error) {
	a := &Allocator{path: path, slot: map[string]uint16{}, owner: map[uint16]string{}, stale: map[string]bool{}}
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
		if _, taken := a.owner[s]; taken || s == 0 || s > slots {
			return nil, fmt.Errorf("read addresses given to services %s: slot %d of %s is out of range or given twice; remove the file and they are given anew", path, s, name)
		}
		a.slot[name], a.owner[s], a.stale[name] = s, name, true
	}
	return a, nil
}

// Has says whether the name holds addresses already.
func (a *Allocator) Has(name string) bool { return a.slot[name] != 0 }

// Give returns the addresses of a name; the first time it picks them. To be independent of the order of events, give many new names in sorted order.
func (a *Allocator) Give(name string) ([]netip.Addr, error) {
	delete(a.stale, name)
	s := a.slot[name]
	if s == 0 {
		if len(a.owner) == slots {
			return nil, ErrFull
		}
		s = a.free(name)
		a.slot[name], a.owner[s], a.dirty = s, name, true
	}
	return []netip.Addr{ip4(s), ip6(s)}, nil
}

// free probes from the name's own hash with a step of its own, so colliding names part at once.
func (a *Allocator) free(name string) uint16 {
	h := fnv.New64a()
	h.Write([]byte(name))
	sum := h.Sum64()
	first := uint32(sum % slots)
	step := uint32(sum>>32)%(slots-1) + 1
	for range slots {
		s := uint16(first) + 1
		if _, taken := a.owner[s]; !taken {
			return s
		}
		first = (first + step) % slots
	}
	// The step may share a factor with the number of slots and miss some.
	for s := uint16(1); ; s++ {
		if _, taken := a.owner[s]; !taken {
			return s
		}
	}
}

// Release gives the addresses of a name back.
func (a *Allocator) Release(name string) {
	if s := a.slot[name]; s != 0 {
		delete(a.slot, name)
		delete(a.owner, s)
		delete(a.stale, name)
		a.dirty = true
	}
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
	raw, err := json.MarshalIndent(record{Version: formatVersion, Slots: a.slot}, "", " ")
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
