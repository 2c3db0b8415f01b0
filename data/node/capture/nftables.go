package capture

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// TableName is the table that holds all rules of ours; nothing outside it is touched.
const TableName = "heddle"

// Apply replaces the rules in the network namespace of the calling thread, in one transaction.
func Apply(rules []Rule) error {
	c, err := nftables.New()
	if err != nil {
		return fmt.Errorf("open nftables: %w", err)
	}
	table := &nftables.Table{Family: nftables.TableFamilyINet, Name: TableName}
	c.AddTable(table) // so that the deletion below never fails
	c.DelTable(table)
	c.AddTable(table)
	chains := map[Hook]*nftables.Chain{
		Output:     c.AddChain(chain(table, "output", nftables.ChainHookOutput)),
		Prerouting: c.AddChain(chain(table, "prerouting", nftables.ChainHookPrerouting)),
	}
	for _, r := range rules {
		c.AddRule(&nftables.Rule{Table: table, Chain: chains[r.Hook], Exprs: r.exprs(), UserData: []byte(r.Why)})
	}
	if err := c.Flush(); err != nil {
		return fmt.Errorf("apply capture rules: %w", err)
	}
	return nil
}

// Remove takes the table away; it is no error when there is none.
func Remove() error {
	c, err := nftables.New()
	if err != nil {
		return fmt.Errorf("open nftables: %w", err)
	}
	table := &nftables.Table{Family: nftables.TableFamilyINet, Name: TableName}
	c.AddTable(table)
	c.DelTable(table)
	if err := c.Flush(); err != nil {
		return fmt.Errorf("remove capture rules: %w", err)
	}
	return nil
}

func chain(t *nftables.Table, name string, hook *nftables.ChainHook) *nftables.Chain {
	return &nftables.Chain{Table: t, Name: name, Type: nftables.ChainTypeNAT, Hooknum: hook, Priority: nftables.ChainPriorityNATDest}
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
	if r.Interface != "" {
		key := expr.MetaKeyOIFNAME
		if r.Hook == Prerouting {
			key = expr.MetaKeyIIFNAME
		}
		e = append(e, &expr.Meta{Key: key, Register: 1})
		equal(append([]byte(r.Interface), make([]byte, unix.IFNAMSIZ-len(r.Interface))...))
	}
	if r.Destination.IsValid() {
		e = append(e, destination(r.Destination)...)
	}
	if r.Protocol != 0 {
		e = append(e, &expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1})
		equal([]byte{r.Protocol})
	}
	if r.Port != 0 {
		e = append(e, &expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2})
		equal(binary.BigEndian.AppendUint16(nil, r.Port))
	}
	if r.Redirect == 0 {
		return append(e, &expr.Verdict{Kind: expr.VerdictReturn})
	}
	return append(e,
		&expr.Immediate{Register: 1, Data: binary.BigEndian.AppendUint16(nil, r.Redirect)},
		&expr.Redir{RegisterProtoMin: 1})
}

// destination compares the network part of the destination address.
func destination(p netip.Prefix) []expr.Any {
	family, offset, size := byte(unix.NFPROTO_IPV4), uint32(16), uint32(4)
	if p.Addr().Is6() {
		family, offset, size = unix.NFPROTO_IPV6, 24, 16
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
