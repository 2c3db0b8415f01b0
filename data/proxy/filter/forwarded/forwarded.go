// Package forwarded reads and writes what proxies tell each other about the client: x-forwarded-for, x-forwarded-proto, x-forwarded-client-cert and the
// headers by which Envoy tells inside from outside.
//
// In: a request's head, the connection's facts and the connection manager's settings. Out: the head, changed, and the client's address as far as it is trusted. Pure.
package forwarded

import (
	"bytes"
	"net/netip"
	"strconv"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
	"github.com/heddle-mesh/heddle/data/proxy/tls"
)

// Client is what was found out about the client.
type Client struct {
	// Address is the client's, as far as headers are trusted.
	Address loop.Address
	// Internal says that the request comes from inside; Edge that it enters the mesh here.
	Internal, Edge bool
}

// Request brings the head in order (Envoy, "HTTP header manipulation").
func Request(h *codec.Head, o *loop.Origin, c *config.HTTP, scratch []byte) Client {
	out := Client{Address: o.Remote}
	single := false
	scheme := "http"
	if o.TLS != nil {
		scheme = "https"
	}
	if c.UseRemoteAddress {
		single = !h.Has(codec.ForwardedFor)
		if c.TrustedHops > 0 {
			if a, ok, _ := last(h, int(c.TrustedHops)-1, scratch); ok {
				out.Address = loop.TCP(netip.AddrPortFrom(a, 0))
			}
		}
		if !c.SkipXFFAppend && o.Remote.AddrPort.IsValid() {
			var text [64]byte
			h.Append(codec.ForwardedFor, ",", o.Remote.Addr().AppendTo(text[:0]))
		}
		if c.TrustedHops == 0 || !h.Has(codec.ForwardedProto) {
			h.SetString(codec.ForwardedProto, scheme)
		}
		if c.AppendXFP && o.Local.AddrPort.IsValid() && (c.TrustedHops == 0 || !h.Has(codec.ForwardedPort)) {
			var text [8]byte
			h.Set(codec.ForwardedPort, strconv.AppendUint(text[:0], uint64(o.Local.Port()), 10))
		}
	} else {
		var a netip.Addr
		var ok bool
		if a, ok, single = last(h, int(c.TrustedHops), scratch); ok {
			out.Address = loop.TCP(netip.AddrPortFrom(a, 0))
		}
	}
	if v, ok := h.Value(codec.ForwardedProto); !ok {
		h.SetString(codec.ForwardedProto, scheme)
	} else if string(v) == "https" {
		scheme = "https"
	} else if string(v) == "http" {
		scheme = "http"
	}
	h.SetScheme(scheme)
	out.Internal = single && c.InternalAddressConfig && private(out.Address)
	out.Edge = !out.Internal && c.UseRemoteAddress
	inside(h, out)
	certificate(h, o, c, scratch)
	return out
}

// last is the address that stands skip places from the end of x-forwarded-for; single says that it is the only one.
func last(h *codec.Head, skip int, scratch []byte) (a netip.Addr, ok, single bool) {
	list, _, found := h.Joined(codec.ForwardedFor, scratch[:0])
	if !found {
		return a, false, false
	}
	single = skip == 0 && bytes.IndexByte(list, ',') < 0
	for range skip {
		i := bytes.LastIndexByte(list, ',')
		if i < 0 {
			return a, false, false
		}
		list = list[:i]
	}
	if i := bytes.LastIndexByte(list, ','); i >= 0 {
		list = list[i+1:]
	}
	a, err := netip.ParseAddr(string(bytes.TrimSpace(list)))
	return a.Unmap(), err == nil, single
}

func private(a loop.Address) bool {
	return a.IsUnix() || a.AddrPort.IsValid() && (a.Addr().IsPrivate() || a.Addr().IsLoopback())
}

// fromEdge are names that nobody outside may set; fromInside are those that only an internal client may.
var (
	fromEdge = []codec.Name{codec.EnvoyDecoratorOperation, codec.EnvoyDownstreamCluster, codec.EnvoyDownstreamNode, codec.EnvoyPeerMetadata, codec.EnvoyPeerMetadataID,
		codec.EnvoyOriginalPath, codec.EnvoyOriginalHost}
	fromInside = []codec.Name{
		codec.EnvoyRetryOn, codec.EnvoyRetryGRPCOn, codec.EnvoyMaxRetries, codec.EnvoyAltStat, codec.EnvoyTimeout, codec.EnvoyTryTimeout, codec.EnvoyTimeoutAltResponse,
		codec.EnvoyExpectedTimeout, codec.EnvoyForceTrace, codec.EnvoyIPTags, codec.EnvoyHedgeOnTryTimeout, codec.EnvoyStreamDuration,
		codec.EnvoyRetriableCodes, codec.EnvoyRetriableHeaders,
	}
)

func inside(h *codec.Head, c Client) {
	if c.Internal {
		h.SetString(codec.EnvoyInternal, "true")
		return
	}
	h.Del(codec.EnvoyInternal)
	for _, n := range fromInside {
		h.Del(n)
	}
	if !c.Edge {
		return
	}
	for _, n := range fromEdge {
		h.Del(n)
	}
	if c.Address.AddrPort.IsValid() {
		var text [64]byte
		h.Set(codec.EnvoyExternalAddress, c.Address.Addr().AppendTo(text[:0]))
	}
}

// certificate treats x-forwarded-client-cert (Envoy, "forward_client_cert_details").
func certificate(h *codec.Head, o *loop.Origin, c *config.HTTP, scratch []byte) {
	if c.XFCC == config.AlwaysForwardOnly {
		return
	}
	if c.XFCC == config.Sanitize || o.TLS == nil || o.TLS.Peer == nil {
		h.Del(codec.ForwardedClientCert)
		return
	}
	if c.XFCC == config.ForwardOnly {
		return
	}
	v := element(scratch[:0], o.TLS, c.XFCCDetails)
	if c.XFCC == config.AppendForward {
		h.Append(codec.ForwardedClientCert, ",", v)
	} else {
		h.Set(codec.ForwardedClientCert, v)
	}
}

// element is one element of the header: By, Hash, and what is asked for.
func element(b []byte, t *loop.TLSState, d config.XFCCDetails) []byte {
	key := func(name string) {
		if len(b) > 0 {
			b = append(b, ';')
		}
		b = append(append(b, name...), '=')
	}
	for _, u := range t.LocalURIs {
		key("By")
		b = append(b, u...)
	}
	p := t.Peer
	if p.Hash != "" {
		key("Hash")
		b = append(b, p.Hash...)
	}
	pem := func(name string, chain bool) {
		if text := tls.PEM(t, chain); text != "" {
			key(name)
			b = append(append(append(b, '"'), text...), '"')
		}
	}
	if d.Cert {
		pem("Cert", false)
	}
	if d.Chain {
		pem("Chain", true)
	}
	if d.Subject {
		key("Subject")
		b = append(append(append(b, '"'), p.Subject...), '"')
	}
	if d.URI {
		for _, u := range p.URIs {
			key("URI")
			b = append(b, u...)
		}
		if len(p.URIs) == 0 {
			key("URI")
		}
	}
	if d.DNS {
		for _, n := range p.DNS {
			key("DNS")
			b = append(b, n...)
		}
	}
	return b
}
