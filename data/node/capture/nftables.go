package capture

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// TableName is the table that holds all rules of ours; nothing outside it is touched.
const TableName = "heddle"

// NFTables captures with nftables, in the table TableName.
type NFTables struct{}

// String is its name.
func (NFTables) String() string { return "nftables" }

// Apply replaces the rules in one transaction.
func (NFTables) Apply(s Spec) error { return Apply(Rules(s)) }

// Remove takes the table away, and the routes that belong to it.
func (NFTables) Remove() error { return Remove() }

// Present says whether there is a table of ours.
func (NFTables) Present() (bool, error) {
	c, err := nftables.New()
	if err != nil {
		return false, fmt.Errorf("open nftables: %w", err)
	}
	tables, err := c.ListTablesOfFamily(nftables.TableFamilyINet)
	if err != nil {
		return false, fmt.Errorf("list the tables of nftables: %w", err)
	}
	return slices.ContainsFunc(tables, func(t *nftables.Table) bool { return t.Name == TableName }), nil
}

// Apply replaces the rules in the network namespace of the calling thread with nftables, in one transaction.
func Apply(rules []Rule) error {
	c, err := nftables.New()
	if err != nil {
		return fmt.Errorf("open nftables: %w", err)
	}
	table := ours()
	kept, err := elements(c)
	if err != nil {
		return err
	}
	c.AddTable(table) // so that the deletion below never fails
	c.DelTable(table)
	c.AddTable(table)
	if slices.ContainsFunc(rules, func(r Rule) bool { return r.Known != 0 }) {
		if err := kept.put(c, table); err != nil {
			return err
		}
	}
	chains := map[Hook]*nftables.Chain{}
	for _, r := range rules {
		if chains[r.Hook] == nil {
			chains[r.Hook] = c.AddChain(chain(table, r.Hook))
		}
		c.AddRule(&nftables.Rule{Table: table, Chain: chains[r.Hook], Exprs: r.exprs(), UserData: []byte(r.Why)})
	}
	if err := c.Flush(); err != nil {
		return fmt.Errorf("apply capture rules: %w", err)
	}
	return surround(rules)
}

// Remove takes the table away; it is no error when there is none.
func Remove() error {
	c, err := nftables.New()
	if err != nil {
		return fmt.Errorf("open nftables: %w", err)
	}
	table := ours()
	c.AddTable(table)
	c.DelTable(table)
	if err := c.Flush(); err != nil {
		return fmt.Errorf("remove capture rules: %w", err)
	}
	return errors.Join(unroute(), own((*netlink.Handle).RouteDel))
}

func ours() *nftables.Table {
	return &nftables.Table{Family: nftables.TableFamilyINet, Name: TableName}
}

func chain(t *nftables.Table, h Hook) *nftables.Chain {
	c := &nftables.Chain{Table: t, Type: nftables.ChainTypeNAT, Priority: nftables.ChainPriorityNATDest}
	switch h {
	case Output:
		c.Name, c.Hooknum = "output", nftables.ChainHookOutput
	case Prerouting:
		c.Name, c.Hooknum = "prerouting", nftables.ChainHookPrerouting
	case Steer:
		c.Name, c.Hooknum, c.Type, c.Priority = "steer", nftables.ChainHookPrerouting, nftables.ChainTypeFilter, nftables.ChainPriorityMangle
	case Reroute:
		c.Name, c.Hooknum, c.Type, c.Priority = "reroute", nftables.ChainHookOutput, nftables.ChainTypeRoute, nftables.ChainPriorityMangle
	}
	return c
}

// exprs compiles a rule; every condition compares register 1.
func (r Rule) exprs() (e []expr.Any) {
	equal := func(data []byte) { e = append(e, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: data}) }
	if r.Mark != 0 {
		e = append(e, &expr.Meta{Key: expr.MetaKeyMARK, Register: 1})
		equal(binaryutil.NativeEndian.PutUint32(r.Mark))
	}
	if r.UID != 0 {
		e = append(e, &expr.Meta{Key: expr.MetaKeySKUID, Register: 1})
		equal(binaryutil.NativeEndian.PutUint32(r.UID))
	}
	if r.GID != 0 {
		e = append(e, &expr.Meta{Key: expr.MetaKeySKGID, Register: 1})
		equal(binaryutil.NativeEndian.PutUint32(r.GID))
	}
	if r.Connection != 0 {
		e = append(e, &expr.Ct{Key: expr.CtKeyMARK, Register: 1})
		equal(binaryutil.NativeEndian.PutUint32(r.Connection))
	}
	if r.Reply {
		e = append(e, &expr.Ct{Key: expr.CtKeyDIRECTION, Register: 1})
		equal([]byte{1}) // IP_CT_DIR_REPLY
	}
	if r.Interface != "" {
		key := expr.MetaKeyOIFNAME
		if r.Hook == Prerouting || r.Hook == Steer {
			key = expr.MetaKeyIIFNAME
		}
		e = append(e, &expr.Meta{Key: key, Register: 1})
		equal(append([]byte(r.Interface), make([]byte, unix.IFNAMSIZ-len(r.Interface))...))
	}
	if r.Source.IsValid() {
		e = append(e, address(r.Source, 12, 8)...)
	}
	if r.Destination.IsValid() {
		e = append(e, address(r.Destination, 16, 24)...)
	}
	if r.Protocol != 0 {
		e = append(e, &expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1})
		equal([]byte{r.Protocol})
	}
	if r.Port != 0 {
		e = append(e, &expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2})
		equal(binary.BigEndian.AppendUint16(nil, r.Port))
	}
	return append(e, r.action()...)
}

// action is what becomes of a packet that matches.
func (r Rule) action() []expr.Any {
	mark := binaryutil.NativeEndian.PutUint32(ProxyMark)
	switch {
	case r.Redirect != 0:
		return []expr.Any{&expr.Immediate{Register: 1, Data: binary.BigEndian.AppendUint16(nil, r.Redirect)}, &expr.Redir{RegisterProtoMin: 1}}
	case r.Hand != 0:
		return []expr.Any{&expr.Immediate{Register: 1, Data: mark}, &expr.Meta{Key: expr.MetaKeyMARK, Register: 1, SourceRegister: true},
			&expr.Immediate{Register: 1, Data: binary.BigEndian.AppendUint16(nil, r.Hand)}, &expr.TProxy{Family: unix.NFPROTO_UNSPEC, RegPort: 1}}
	case r.Known != 0:
		return r.known()
	case r.Save:
		return []expr.Any{&expr.Immediate{Register: 1, Data: mark}, &expr.Ct{Key: expr.CtKeyMARK, Register: 1, SourceRegister: true}}
	case r.Restore:
		return []expr.Any{&expr.Immediate{Register: 1, Data: mark}, &expr.Meta{Key: expr.MetaKeyMARK, Register: 1, SourceRegister: true}}
	}
	return []expr.Any{&expr.Verdict{Kind: expr.VerdictReturn}}
}

// address compares the network part of an address, which is at one of the offsets in the headers of IPv4 and IPv6.
func address(p netip.Prefix, at4, at6 uint32) []expr.Any {
	family, offset, size := byte(unix.NFPROTO_IPV4), at4, uint32(4)
	if p.Addr().Is6() {
		family, offset, size = unix.NFPROTO_IPV6, at6, 16
	}
	mask := make([]byte, size)
	for i := range p.Bits() {
		mask[i/8] |= 0x80 >> (i % 8)
	}
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{family}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: size},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: size, Mask: mask, Xor: make([]byte, size)},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: p.Masked().Addr().AsSlice()},
	}
}
