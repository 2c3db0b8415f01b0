// Package nds is Istio's name table on the wire: istio.networking.nds.v1.NameTable, the one resource of the name discovery service.
//
// In: host names with their addresses. Out: deterministic bytes, and back. Istio does not publish the message in its API module, so it is encoded here by field number.
// Everything is pure and safe for concurrent use.
package nds

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// Registry names of NameInfo.Registry.
const (
	Kubernetes = "Kubernetes"
	External   = "External"
)

// Table maps a host name (lower case, without trailing dot, possibly "*.suffix") to what is known of it.
type Table map[string]Host

// Host is NameTable.NameInfo.
type Host struct {
	IPs       []string // field 1
	Registry  string   // field 2: Kubernetes names also answer to their short forms
	Shortname string   // field 3
	Namespace string   // field 4
	AltHosts  []string // field 5, deprecated by Istio and still sent to old agents
}

// The ranges from which a control plane gives addresses to services that have none, Istio's automatic allocation.
var (
	Given4 = netip.MustParsePrefix("240.240.0.0/16")
	Given6 = netip.MustParsePrefix("2001:2::/48") // RFC 5180, benchmarking
)

// Given says whether an address was made up for a service without one. It is there for captured connections only: nothing that the proxy dials itself gets
// there.
func Given(ip netip.Addr) bool { return Given4.Contains(ip.Unmap()) || Given6.Contains(ip) }

// Marshal encodes the table with its hosts in order, so that equal tables have equal bytes.
func (t Table) Marshal() []byte {
	b := []byte{}
	for _, name := range slices.Sorted(maps.Keys(t)) {
		entry := appendString(nil, 1, name)
		entry = protowire.AppendTag(entry, 2, protowire.BytesType)
		entry = protowire.AppendBytes(entry, t[name].marshal())
		b = protowire.AppendTag(b, 1, protowire.BytesType)
		b = protowire.AppendBytes(b, entry)
	}
	return b
}

func (h Host) marshal() (b []byte) {
	for _, ip := range h.IPs {
		b = appendString(b, 1, ip)
	}
	for i, s := range []string{h.Registry, h.Shortname, h.Namespace} {
		if s != "" {
			b = appendString(b, protowire.Number(i+2), s)
		}
	}
	for _, a := range h.AltHosts {
		b = appendString(b, 5, a)
	}
	return b
}

func appendString(b []byte, n protowire.Number, s string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, n, protowire.BytesType), s)
}

// Unmarshal decodes a table. A field that it does not know is an error: a name table is never half understood.
func Unmarshal(b []byte) (Table, error) {
	t := Table{}
	err := fields(b, "table", func(n protowire.Number, v []byte) error {
		if n != 1 {
			return fmt.Errorf("table: unknown field %d", n)
		}
		var name string
		var host Host
		if err := fields(v, "table entry", func(n protowire.Number, v []byte) (err error) {
			switch n {
			case 1:
				name = string(v)
			case 2:
				host, err = unmarshalHost(v)
			default:
				err = fmt.Errorf("unknown field %d", n)
			}
			return err
		}); err != nil {
			return fmt.Errorf("table[%q]: %w", name, err)
		}
		t[name] = host
		return nil
	})
	if err != nil {
		return nil, err
	}
	return t, nil
}

func unmarshalHost(b []byte) (h Host, err error) {
	err = fields(b, "name info", func(n protowire.Number, v []byte) error {
		switch s := string(v); n {
		case 1:
			h.IPs = append(h.IPs, s)
		case 2:
			h.Registry = s
		case 3:
			h.Shortname = s
		case 4:
			h.Namespace = s
		case 5:
			h.AltHosts = append(h.AltHosts, s)
		default:
			return fmt.Errorf("unknown field %d", n)
		}
		return nil
	})
	return h, err
}

// fields calls f for each length-delimited field of a message.
func fields(b []byte, what string, f func(protowire.Number, []byte) error) error {
	for len(b) > 0 {
		n, typ, size := protowire.ConsumeTag(b)
		if size < 0 {
			return fmt.Errorf("%s: %w", what, protowire.ParseError(size))
		}
		if typ != protowire.BytesType {
			return fmt.Errorf("%s: field %d has wire type %d, want %d", what, n, typ, protowire.BytesType)
		}
		b = b[size:]
		v, size := protowire.ConsumeBytes(b)
		if size < 0 {
			return fmt.Errorf("%s: field %d: %w", what, n, protowire.ParseError(size))
		}
		b = b[size:]
		if err := f(n, v); err != nil {
			return err
		}
	}
	return nil
}
