package settings

import (
	"errors"
	"fmt"
	"strings"

	meshconfig "istio.io/api/mesh/v1alpha1"

	"github.com/heddle-mesh/heddle/control/config/clienttls"
	"github.com/heddle-mesh/heddle/mesh"
)

// unknown reads what becomes of requests to what sidecars do not know.
func unknown(s *mesh.Settings, in *meshconfig.MeshConfig_OutboundTrafficPolicy, problems *[]mesh.Problem) (err error) {
	const path = "outboundTrafficPolicy.tls"
	if s.NamesUnknown = in.GetMode() == meshconfig.MeshConfig_OutboundTrafficPolicy_ALLOW_ANY_DYNAMIC_DNS; !s.NamesUnknown {
		if in.GetTls() != nil {
			*problems = append(*problems, mesh.Problem{Field: path, Code: mesh.CodeNotEnforced, Message: "only with mode ALLOW_ANY_DYNAMIC_DNS is TLS made for what is unknown"})
		}
		return nil
	}
	s.UnknownTLS = clienttls.Read(in.GetTls(), func(field, _, message string) {
		err = errors.Join(err, fmt.Errorf("field %s: %s", strings.TrimSuffix(path+"."+field, "."), message))
	})
	for _, f := range []struct{ field, name string }{{"credentialName", in.GetTls().GetCredentialName()}, {"caCertCredentialName", in.GetTls().GetCaCertCredentialName()}} {
		if f.name != "" {
			why := "only gateways are given credentials, so sidecars reach nothing that is unknown"
			*problems = append(*problems, mesh.Problem{Field: path + "." + f.field, Code: mesh.CodeNotEnforced, Message: why, Hint: "give paths of files"})
			s.UnknownTLS = clienttls.Unreachable(why)
		}
	}
	return err
}
