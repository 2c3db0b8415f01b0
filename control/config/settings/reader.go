package settings

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	meshconfig "istio.io/api/mesh/v1alpha1"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/heddle-mesh/heddle/control/config/bounds"
	"github.com/heddle-mesh/heddle/control/config/retry"
	"github.com/heddle-mesh/heddle/identity"
	"github.com/heddle-mesh/heddle/mesh"
)

// reader reads fields one by one; the first mistake stays.
type reader struct{ err error }

func (r *reader) wrong(field, format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("field %s: %s", field, fmt.Sprintf(format, args...))
	}
}

func (r *reader) duration(d *durationpb.Duration, field string) time.Duration {
	return bounds.Duration(d, func(format string, args ...any) { r.wrong(field, format, args...) })
}

func (r *reader) retry(x *networking.HTTPRetry, field string) *mesh.Retry {
	return retry.Read(x, func(below, message string) { r.wrong(field+"."+below, "%s", message) })
}

func (r *reader) keepalive(x *networking.ConnectionPoolSettings_TCPSettings_TcpKeepalive) mesh.Keepalive {
	k := mesh.Keepalive{Probes: x.GetProbes(), Time: r.duration(x.GetTime(), "tcpKeepalive.time"), Interval: r.duration(x.GetInterval(), "tcpKeepalive.interval")}
	for _, x := range []struct {
		field string
		t     time.Duration
	}{{"time", k.Time}, {"interval", k.Interval}} {
		if x.t%time.Second != 0 {
			r.wrong("tcpKeepalive."+x.field, "want whole seconds")
		}
	}
	return k
}

// domains reads the aliases of the trust domain.
func (r *reader) domains(list []string, own string) (out []string) {
	for i, name := range list {
		if _, err := identity.ParseTrustDomain(name); err != nil {
			r.wrong(fmt.Sprintf("trustDomainAliases[%d]", i), "%v", err)
		}
		if name != own && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

func (r *reader) bounds(x *meshconfig.MeshConfig_TLSConfig, field string) mesh.TLSBounds {
	b := mesh.TLSBounds{CipherSuites: x.GetCipherSuites(), Curves: x.GetEcdhCurves()}
	switch x.GetMinProtocolVersion() {
	case meshconfig.MeshConfig_TLSConfig_TLSV1_2:
		b.MinVersion = 0x0303
	case meshconfig.MeshConfig_TLSConfig_TLSV1_3:
		b.MinVersion = 0x0304
	}
	for _, list := range []struct {
		field       string
		names, have []string
	}{{"cipherSuites", b.CipherSuites, mesh.CipherSuites}, {"ecdhCurves", b.Curves, mesh.Curves}} {
		for i, name := range list.names {
			if !slices.Contains(list.have, name) {
				r.wrong(fmt.Sprintf("%s.%s[%d]", field, list.field, i), "%q is not one of %s", name, strings.Join(list.have, ", "))
			}
		}
	}
	return b
}

// The variables in patterns of names of statistics.
var (
	outboundVariables = []string{"%SERVICE%", "%SERVICE_NAME%", "%SERVICE_FQDN%", "%SERVICE_PORT%", "%SERVICE_PORT_NAME%", "%SUBSET_NAME%"}
	inboundVariables  = []string{"%SERVICE%", "%SERVICE_NAME%", "%SERVICE_FQDN%", "%SERVICE_PORT%", "%TARGET_PORT%", "%SERVICE_PORT_NAME%"}
	variable          = regexp.MustCompile(`%[^%]*%?`)
)

func (r *reader) pattern(s, field string, have []string) string {
	for _, v := range variable.FindAllString(s, -1) {
		if !slices.Contains(have, v) {
			r.wrong(field, "%q is not one of %s", v, strings.Join(have, ", "))
		}
	}
	return s
}
