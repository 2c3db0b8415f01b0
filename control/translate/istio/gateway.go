package istio

import (
	"net/netip"
	"strings"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/translate/note"
	"github.com/heddle-mesh/heddle/mesh"
	networking "istio.io/api/networking/v1alpha3"
)

// gatewayFields are honoured; the TLS settings are judged by api.Unenforced.
var gatewayFields = api.Fields("selector", "servers[].port.number", "servers[].port.protocol", "servers[].port.name", "servers[].hosts",
	"servers[].name", "servers[].bind", "servers[].tls.*", "servers[].port.targetPort", "servers[].defaultEndpoint")

// Gateway gives the listeners that a Gateway describes, or nil when the object is broken. A server whose TLS settings cannot be enforced is there with a
// reason to deny, so that nobody reaches what it should have protected.
func Gateway(o api.Object, in Lookup) (*mesh.Gateway, []mesh.Problem) {
	spec, ok := o.Spec.(*networking.Gateway)
	if !ok {
		return nil, nil
	}
	v := open(o, in)
	v.check(gatewayFields, nil)
	g := &mesh.Gateway{ID: mesh.GatewayID{Dialect: mesh.Istio, Namespace: v.ns, Name: o.Meta.Name}, Origin: o.Ref(), Created: o.Meta.Created, Selector: spec.Selector}
	if len(spec.Servers) == 0 {
		v.Invalid("spec.servers", "the gateway has no server")
	}
	denials := map[string]string{}
	for _, f := range api.Unenforced(o) {
		v.Add(mesh.CodeDenied, f.Path, "", "%s, so the server accepts no connection", f.Reason)
		denials[f.Path] = f.Reason
	}
	names := map[string]bool{}
	for i, s := range spec.Servers {
		path := at("spec.servers", i)
		if s == nil {
			v.Invalid(path, "the server is empty")
			continue
		}
		if s.Name != "" && names[s.Name] {
			v.Invalid(path+".name", "two servers have the name %s", s.Name)
		}
		names[s.Name] = true
		server := v.server(s, path)
		if s.DefaultEndpoint != "" {
			v.NotEnforced(path+".defaultEndpoint", "defaultEndpoint %s has no effect, nor has it in Istio: it is for the ports of a Sidecar (ingress), and a gateway's routes say where requests go", shorten(s.DefaultEndpoint))
		}
		for _, field := range sorted(denials) {
			if note.Under(field, path) {
				server.Denied = denials[field]
			}
		}
		g.Servers = append(g.Servers, server)
	}
	if v.Broken() {
		return nil, v.Problems()
	}
	return g, v.Problems()
}

// serverProtocols are those that a server of a Gateway may have.
var serverProtocols = map[string]mesh.Protocol{"HTTP": mesh.HTTP, "HTTPS": mesh.HTTPS, "GRPC": mesh.GRPC, "GRPC-WEB": mesh.GRPCWeb, "HTTP2": mesh.HTTP2,
	"MONGO": mesh.Mongo, "TCP": mesh.TCP, "TLS": mesh.TLS}

func (v *visit) server(s *networking.Server, path string) mesh.Server {
	out := mesh.Server{Name: s.Name, Bind: s.Bind}
	if s.Port == nil {
		v.Invalid(path+".port", "the port is missing")
	} else {
		if out.Name == "" {
			out.Name = s.Port.Name
		}
		if s.Port.Name == "" {
			v.Invalid(path+".port.name", "the port has no name")
		}
		out.Port = v.port(s.Port.Number, path+".port.number")
		v.targetPort(s.Port.TargetPort, path+".port.targetPort") //nolint:staticcheck // deprecated, and still written by users
		p, ok := serverProtocols[strings.ToUpper(s.Port.Protocol)]
		if !ok {
			v.Add(mesh.CodeInvalid, path+".port.protocol", "use HTTP, HTTPS, HTTP2, GRPC, GRPC-WEB, TLS, TCP or MONGO", "%q is not a protocol of a gateway", s.Port.Protocol)
		}
		out.Protocol = p
	}
	if s.Bind != "" {
		v.bind(&out, s.Bind, path+".bind")
	}
	v.serverHosts(&out, s, path)
	v.serverTLS(&out, s.Tls, path+".tls")
	return out
}

// targetPort tells that a port's targetPort is without meaning.
func (v *visit) targetPort(n uint32, path string) {
	if n != 0 {
		v.NotEnforced(path, "targetPort %d has no effect, nor has it in Istio: the Service in front says which port connections go to", n)
	}
}

// bind reads the address that a server listens on. A unix socket is no address that a gateway's clients come by: nothing is served there, and nowhere else either.
func (v *visit) bind(out *mesh.Server, text, path string) {
	switch ip, err := netip.ParseAddr(text); {
	case err == nil && ip.Zone() == "":
		if out.Bind = ip.Unmap().String(); ip.IsUnspecified() {
			out.Bind = ""
		}
	case strings.HasPrefix(text, "unix://"):
		out.Denied = "a gateway does not listen on unix sockets"
		v.Add(mesh.CodeDenied, path, "give an IP address", "%s, so the server accepts no connection", out.Denied)
	default:
		v.Invalid(path, "%q is not an IP address", shorten(text))
	}
}

func (v *visit) serverHosts(out *mesh.Server, s *networking.Server, path string) {
	if len(s.Hosts) == 0 {
		v.Add(mesh.CodeInvalid, path+".hosts", `name hosts, or "*"`, "the server has no host")
	}
	for i, text := range s.Hosts {
		h := mesh.ServerHost{}
		space, name, ok := strings.Cut(text, "/")
		switch {
		case !ok:
			name = text
		case space == ".":
			h.Namespace = v.ns
		case space == "*":
		case !dnsLabel(space):
			v.Invalid(at(path+".hosts", i), "%q is not a namespace", space)
		default:
			h.Namespace = mesh.Namespace(space)
		}
		host, err := mesh.ParseHost(name)
		if err != nil {
			v.Invalid(at(path+".hosts", i), "%q is not a host name", name)
			continue
		}
		h.Host = host
		out.Hosts = append(out.Hosts, h)
	}
}
