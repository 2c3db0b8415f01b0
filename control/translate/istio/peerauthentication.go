package istio

import (
	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/mesh"
	security "istio.io/api/security/v1beta1"
)

// mtlsModes are PeerAuthentication's.
var mtlsModes = map[security.PeerAuthentication_MutualTLS_Mode]mesh.MTLSMode{
	security.PeerAuthentication_MutualTLS_UNSET: mesh.MTLSUnset, security.PeerAuthentication_MutualTLS_DISABLE: mesh.MTLSDisable,
	security.PeerAuthentication_MutualTLS_PERMISSIVE: mesh.MTLSPermissive, security.PeerAuthentication_MutualTLS_STRICT: mesh.MTLSStrict,
}

// PeerAuthentication gives which connections workloads accept; a broken object makes the workloads in its scope deny.
func PeerAuthentication(o api.Object, in Lookup) (*mesh.PeerAuthn, []*mesh.Denial, []mesh.Problem) {
	spec, ok := o.Spec.(*security.PeerAuthentication)
	if !ok {
		return nil, nil, nil
	}
	v := open(o, in)
	v.Marks(o)
	p := &mesh.PeerAuthn{Origin: o.Ref(), Scope: scopeOf(o, in)[0]}
	if !o.Meta.Created.IsZero() {
		p.Age = o.Meta.Created.UnixNano()
	}
	mode, known := mtlsModes[spec.GetMtls().GetMode()]
	if !known {
		v.Invalid("spec.mtls.mode", "%d is not a mode", spec.GetMtls().GetMode())
	}
	p.Mode = mode
	if len(spec.PortLevelMtls) > 0 && len(p.Scope.Selector) == 0 {
		v.Add(mesh.CodeInvalid, "spec.portLevelMtls", "give selector.matchLabels", "settings of single ports need the workloads that they are for")
	}
	for port, m := range spec.PortLevelMtls {
		path := keyedPort("spec.portLevelMtls", port)
		mode, known := mtlsModes[m.GetMode()]
		if !known {
			v.Invalid(path+".mode", "%d is not a mode", m.GetMode())
		}
		if p.Ports == nil {
			p.Ports = map[uint16]mesh.MTLSMode{}
		}
		p.Ports[v.port(port, path)] = mode
	}
	if denials := v.security("its connections cannot be judged"); denials != nil {
		return nil, denials, v.Problems()
	}
	return p, nil, v.Problems()
}

// security tells what of a security object is not enforced, or that it is broken, and denies then; nil when all of it is enforced.
func (v *visit) security(consequence string) []*mesh.Denial {
	reason := ""
	for _, f := range api.Unenforced(v.obj) {
		if reason == "" {
			reason = f.Reason
		}
		v.Add(mesh.CodeDenied, f.Path, "remove the field or the object", "%s, so the workloads in its scope refuse every request", f.Reason)
	}
	if v.Broken() && reason == "" {
		reason = "it is broken: " + consequence
		v.Add(mesh.CodeDenied, "", "correct the object", "because it is broken, the workloads in its scope refuse every request")
	}
	if reason == "" {
		return nil
	}
	return deny(v.obj, v.in, v.obj.Ref().String()+": "+reason)
}
