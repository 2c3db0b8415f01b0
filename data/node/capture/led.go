package capture

import (
	"encoding/binary"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// batch is the number of destinations that one message to the kernel names.
const batch = 500

// set is the kernel's table of a family: destination and port to alias.
func set(t *nftables.Table, four bool) *nftables.Set {
	s := &nftables.Set{Table: t, Name: "datagrams6", IsMap: true, Concatenation: true, KeyType: nftables.MustConcatSetType(nftables.TypeIP6Addr, nftables.TypeInetService), DataType: nftables.TypeIP6Addr}
	if four {
		s.Name, s.KeyType, s.DataType = "datagrams4", nftables.MustConcatSetType(nftables.TypeIPAddr, nftables.TypeInetService), nftables.TypeIPAddr
	}
	return s
}

// elements reads the table.
func elements(c *nftables.Conn) (led, error) {
	t := ours()
	tables, err := c.ListTablesOfFamily(t.Family)
	if err != nil {
		return nil, fmt.Errorf("list the tables of nftables: %w", err)
	}
	if !slices.ContainsFunc(tables, func(have *nftables.Table) bool { return have.Name == t.Name }) {
		return nil, nil
	}
	sets, err := c.GetSets(t)
	if err != nil {
		return nil, fmt.Errorf("list the sets of nftables: %w", err)
	}
	var out led
	for _, four := range []bool{true, false} {
		s := set(t, four)
		if !slices.ContainsFunc(sets, func(have *nftables.Set) bool { return have.Name == s.Name }) {
			continue
		}
		all, err := c.GetSetElements(s)
		if err != nil {
			return nil, fmt.Errorf("read the table of captured destinations: %w", err)
		}
		if out == nil {
			out = led{}
		}
		for _, e := range all {
			if at, alias, ok := parse(e, four); ok {
				out[at] = alias
			}
		}
	}
	return out, nil
}

// parse reads an element: an address, a port and two bytes that do not count; and the alias.
func parse(e nftables.SetElement, four bool) (at netip.AddrPort, alias netip.Addr, ok bool) {
	size := 16
	if four {
		size = 4
	}
	if len(e.Key) < size+2 {
		return at, alias, false
	}
	ip, ok := netip.AddrFromSlice(e.Key[:size])
	alias, ok2 := netip.AddrFromSlice(e.Val)
	return netip.AddrPortFrom(ip, binary.BigEndian.Uint16(e.Key[size:])), alias, ok && ok2
}

func element(at netip.AddrPort, alias netip.Addr) nftables.SetElement {
	return nftables.SetElement{Key: append(binary.BigEndian.AppendUint16(at.Addr().AsSlice(), at.Port()), 0, 0), Val: alias.AsSlice()}
}

// put makes the sets of a table that is new, with what was known before.
func (l led) put(c *nftables.Conn, t *nftables.Table) error {
	for _, four := range []bool{true, false} {
		if err := c.AddSet(set(t, four), nil); err != nil {
			return fmt.Errorf("make the table of captured destinations: %w", err)
		}
	}
	return l.say(slices.Collect(maps.Keys(l)), c.SetAddElements, func() error { return nil })
}

// each changes the elements of destinations, some in one transaction.
func (l led) each(some []netip.AddrPort, c *nftables.Conn, change func(*nftables.Set, []nftables.SetElement) error) error {
	return l.say(some, change, c.Flush)
}

// say names destinations to the kernel in parts, and calls done after each.
func (l led) say(some []netip.AddrPort, change func(*nftables.Set, []nftables.SetElement) error, done func() error) error {
	byFamily := map[bool][]nftables.SetElement{}
	for _, at := range some {
		four := at.Addr().Is4()
		byFamily[four] = append(byFamily[four], element(at, l[at]))
	}
	for four, all := range byFamily {
		for part := range slices.Chunk(all, batch) {
			if err := change(set(ours(), four), part); err != nil {
				return err
			}
			if err := done(); err != nil {
				return err
			}
		}
	}
	return nil
}

// known looks the destination up, and leads to the alias.
func (r Rule) known() []expr.Any {
	// Registers of 32 bits for the key, those of 128 bits for what is found (1) and the port (4); they share their room.
	const key, found, port = unix.NFT_REG32_00, unix.NFT_REG_1, unix.NFT_REG_4
	four := r.Destination.Addr().Is4()
	family, offset, size := uint32(unix.NFPROTO_IPV6), uint32(24), uint32(16)
	if four {
		family, offset, size = unix.NFPROTO_IPV4, 16, 4
	}
	return []expr.Any{
		&expr.Payload{DestRegister: key, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: size},
		&expr.Payload{DestRegister: key + size/4, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Lookup{SourceRegister: key, DestRegister: found, IsDestRegSet: true, SetName: set(ours(), four).Name},
		&expr.Immediate{Register: port, Data: binary.BigEndian.AppendUint16(nil, r.Known)},
		&expr.NAT{Type: expr.NATTypeDestNAT, Family: family, RegAddrMin: found, RegProtoMin: port},
	}
}
