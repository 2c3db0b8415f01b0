package forwarded

import (
	"net/netip"
	"testing"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
)

func TestClient(t *testing.T) {
	peer := loop.TCP(netip.MustParseAddrPort("192.0.2.9:4000"))
	tests := map[string]struct {
		config   config.HTTP
		xff      string
		address  string
		after    string
		internal bool
		edge     bool
	}{
		"sidecar without xff":          {config.HTTP{InternalAddressConfig: true}, "", "192.0.2.9", "", false, false},
		"sidecar, one private address": {config.HTTP{InternalAddressConfig: true}, "10.1.2.3", "10.1.2.3", "10.1.2.3", true, false},
		"private addresses not inside": {config.HTTP{}, "10.1.2.3", "10.1.2.3", "10.1.2.3", false, false},
		"sidecar, two addresses":       {config.HTTP{InternalAddressConfig: true}, "10.1.2.3, 10.1.2.4", "10.1.2.4", "10.1.2.3, 10.1.2.4", false, false},
		"sidecar, garbage":             {config.HTTP{}, "nobody", "192.0.2.9", "nobody", false, false},
		"gateway":                      {config.HTTP{UseRemoteAddress: true}, "", "192.0.2.9", "192.0.2.9", false, true},
		"gateway, forged":              {config.HTTP{UseRemoteAddress: true}, "10.0.0.1", "192.0.2.9", "10.0.0.1,192.0.2.9", false, true},
		"gateway, one trusted hop":     {config.HTTP{UseRemoteAddress: true, TrustedHops: 1}, "203.0.113.7", "203.0.113.7", "203.0.113.7,192.0.2.9", false, true},
		"gateway, two hops":            {config.HTTP{UseRemoteAddress: true, TrustedHops: 2}, "203.0.113.7,198.51.100.1", "203.0.113.7", "203.0.113.7,198.51.100.1,192.0.2.9", false, true},
		"no append":                    {config.HTTP{UseRemoteAddress: true, SkipXFFAppend: true}, "", "192.0.2.9", "", false, true},
	}
	for name, tt := range tests {
		var h codec.Head
		h.Reset()
		if tt.xff != "" {
			h.AddString(codec.ForwardedFor, tt.xff)
		}
		h.AddString(codec.EnvoyRetryOn, "5xx")
		c := Request(&h, &loop.Origin{Remote: peer}, &tt.config, nil)
		after, _ := h.Value(codec.ForwardedFor)
		if c.Address.Addr().String() != tt.address || string(after) != tt.after || c.Internal != tt.internal || c.Edge != tt.edge {
			t.Errorf("%s: %s %q internal=%t edge=%t", name, c.Address.Addr(), after, c.Internal, c.Edge)
		}
		if h.Has(codec.EnvoyRetryOn) != c.Internal {
			t.Errorf("%s: a client inside may set retries, others must not", name)
		}
		if proto, _ := h.Value(codec.ForwardedProto); string(proto) != "http" || string(h.Scheme()) != "http" {
			t.Errorf("%s: proto %q", name, proto)
		}
	}
}

func TestClientCertificate(t *testing.T) {
	state := &loop.TLSState{LocalURIs: []string{"spiffe://a/b"}, Peer: &loop.Peer{Hash: "ab", Subject: "CN=x", URIs: []string{"spiffe://c/d"}, DNS: []string{"n"}}}
	tests := []struct {
		mode   config.XFCC
		tls    *loop.TLSState
		before string
		want   string
	}{
		{config.Sanitize, state, "x", ""},
		{config.ForwardOnly, state, "x", "x"},
		{config.ForwardOnly, nil, "x", ""},
		{config.AlwaysForwardOnly, nil, "x", "x"},
		{config.AppendForward, nil, "forged", ""},
		{config.AppendForward, state, "x", "x,By=spiffe://a/b;Hash=ab;Subject=\"CN=x\";URI=spiffe://c/d;DNS=n"},
		{config.SanitizeSet, state, "x", "By=spiffe://a/b;Hash=ab;Subject=\"CN=x\";URI=spiffe://c/d;DNS=n"},
	}
	for _, tt := range tests {
		var h codec.Head
		h.Reset()
		h.AddString(codec.ForwardedClientCert, tt.before)
		c := &config.HTTP{XFCC: tt.mode, XFCCDetails: config.XFCCDetails{Subject: true, URI: true, DNS: true}}
		Request(&h, &loop.Origin{TLS: tt.tls}, c, nil)
		if got, _ := h.Value(codec.ForwardedClientCert); string(got) != tt.want {
			t.Errorf("mode %d: %q, want %q", tt.mode, got, tt.want)
		}
	}
}

// TestSeveralFields: what this proxy says of its client stands at the end of the list, in however many fields the client has sent one; and the names of the request before it was
// rewritten are the mesh's own to tell.
func TestSeveralFields(t *testing.T) {
	var h codec.Head
	h.Reset()
	for _, v := range []string{"203.0.113.1", "203.0.113.2"} {
		h.AddString(codec.ForwardedFor, v)
		h.AddString(codec.ForwardedClientCert, "Hash="+v)
	}
	h.AddString(codec.EnvoyOriginalPath, "/forged")
	h.AddString(codec.EnvoyOriginalHost, "forged")
	state := &loop.TLSState{LocalURIs: []string{"spiffe://a/b"}, Peer: &loop.Peer{Hash: "ab"}}
	Request(&h, &loop.Origin{Remote: loop.TCP(netip.MustParseAddrPort("192.0.2.9:4000")), TLS: state}, &config.HTTP{UseRemoteAddress: true, XFCC: config.AppendForward}, nil)
	for name, want := range map[codec.Name]string{codec.ForwardedFor: "203.0.113.1,203.0.113.2,192.0.2.9", codec.ForwardedClientCert: "Hash=203.0.113.1,Hash=203.0.113.2,By=spiffe://a/b;Hash=ab"} {
		if got, _, _ := h.Joined(name, nil); string(got) != want {
			t.Errorf("%s: %q, want %q", name.String(), got, want)
		}
	}
	if h.Has(codec.EnvoyOriginalPath) || h.Has(codec.EnvoyOriginalHost) {
		t.Error("a client from outside has said what the request was before")
	}
}
