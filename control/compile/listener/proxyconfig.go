package listener

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"

	"github.com/heddle-mesh/heddle/control/compile/message"
	"github.com/heddle-mesh/heddle/mesh"
)

// headers says which headers the manager writes about the client and itself, by its role and what the ProxyConfig says.
func (m *manager) headers(c *hcmv3.HttpConnectionManager, own mesh.ProxyConfig) {
	if own.NoRequestID {
		c.GenerateRequestId = message.False()
	}
	c.AppendXForwardedPort = own.ForwardedPort
	switch {
	case m.inbound:
		c.ForwardClientCertDetails = certificates(own.InboundCertificates, mesh.CertificatesAppend)
		c.SetCurrentClientCertDetails = details(own.Certificate, mesh.CertificateDetails{Subject: mesh.Yes, DNS: mesh.Yes, URI: mesh.Yes})
	case m.edge:
		c.UseRemoteAddress, c.XffNumTrustedHops = message.True(), own.TrustedProxies
		role := mesh.CertificatesSanitizeSet
		if m.strangers {
			role = mesh.CertificatesSanitize
		}
		c.ForwardClientCertDetails = certificates(own.EdgeCertificates, role)
		c.SetCurrentClientCertDetails = details(own.Certificate, mesh.CertificateDetails{Subject: mesh.Yes, Cert: mesh.Yes, URI: mesh.Yes})
	}
	switch {
	case !m.inbound && !m.edge || own.KeepServer:
		c.ServerHeaderTransformation = hcmv3.HttpConnectionManager_PASS_THROUGH
	case own.ServerName != "":
		c.ServerName = own.ServerName
	default:
		c.ServerName = serverName
	}
}

func certificates(said, role mesh.ForwardCertificates) hcmv3.HttpConnectionManager_ForwardClientCertDetails {
	if said == mesh.CertificatesByRole {
		said = role
	}
	return map[mesh.ForwardCertificates]hcmv3.HttpConnectionManager_ForwardClientCertDetails{
		mesh.CertificatesSanitize: hcmv3.HttpConnectionManager_SANITIZE, mesh.CertificatesForwardOnly: hcmv3.HttpConnectionManager_FORWARD_ONLY,
		mesh.CertificatesAppend: hcmv3.HttpConnectionManager_APPEND_FORWARD, mesh.CertificatesSanitizeSet: hcmv3.HttpConnectionManager_SANITIZE_SET,
		mesh.CertificatesAlwaysForward: hcmv3.HttpConnectionManager_ALWAYS_FORWARD_ONLY,
	}[said]
}

// details are the parts of the client's certificate that go into x-forwarded-client-cert.
func details(said, role mesh.CertificateDetails) *hcmv3.HttpConnectionManager_SetCurrentClientCertDetails {
	out := &hcmv3.HttpConnectionManager_SetCurrentClientCertDetails{
		Cert: said.Cert.Or(role.Cert == mesh.Yes), Chain: said.Chain.Or(role.Chain == mesh.Yes), Dns: said.DNS.Or(role.DNS == mesh.Yes), Uri: said.URI.Or(role.URI == mesh.Yes),
	}
	if said.Subject.Or(role.Subject == mesh.Yes) {
		out.Subject = message.True()
	}
	return out
}

// bounds sets what connectionSettings say.
func bounds(c *hcmv3.HttpConnectionManager, b mesh.Connections) {
	if b.StreamIdle > 0 {
		c.StreamIdleTimeout = message.Duration(b.StreamIdle)
	}
	c.RequestTimeout, c.RequestHeadersTimeout, c.DrainTimeout = message.Set(b.Request), message.Set(b.RequestHeaders), message.Set(b.Drain)
	if b.Idle > 0 || b.Life > 0 || b.StreamLife > 0 || b.Underscores != mesh.AllowUnderscores {
		c.CommonHttpProtocolOptions = &corev3.HttpProtocolOptions{
			IdleTimeout: message.Set(b.Idle), MaxConnectionDuration: message.Set(b.Life), MaxStreamDuration: message.Set(b.StreamLife),
			HeadersWithUnderscoresAction: map[mesh.Underscores]corev3.HttpProtocolOptions_HeadersWithUnderscoresAction{
				mesh.RejectUnderscores: corev3.HttpProtocolOptions_REJECT_REQUEST, mesh.DropUnderscores: corev3.HttpProtocolOptions_DROP_HEADER,
			}[b.Underscores],
		}
	}
	if b.Streams > 0 || b.StreamWindow > 0 || b.Window > 0 {
		c.Http2ProtocolOptions = &corev3.Http2ProtocolOptions{
			MaxConcurrentStreams: message.SetUInt32(b.Streams), InitialStreamWindowSize: message.SetUInt32(b.StreamWindow), InitialConnectionWindowSize: message.SetUInt32(b.Window),
		}
	}
	if b.MergeSlashes != mesh.Unsaid {
		c.MergeSlashes = b.MergeSlashes == mesh.Yes
	}
	if b.EscapedSlashes != mesh.EscapedSlashesUnsaid {
		c.PathWithEscapedSlashesAction = map[mesh.EscapedSlashes]hcmv3.HttpConnectionManager_PathWithEscapedSlashesAction{
			mesh.KeepEscapedSlashes: hcmv3.HttpConnectionManager_KEEP_UNCHANGED, mesh.RejectEscapedSlashes: hcmv3.HttpConnectionManager_REJECT_REQUEST,
			mesh.RedirectEscapedSlashes: hcmv3.HttpConnectionManager_UNESCAPE_AND_REDIRECT, mesh.ForwardEscapedSlashes: hcmv3.HttpConnectionManager_UNESCAPE_AND_FORWARD,
		}[b.EscapedSlashes]
	}
}
