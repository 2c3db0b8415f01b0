package serve

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/heddle-mesh/heddle/control/config/settings"
	"github.com/heddle-mesh/heddle/identity"
	"github.com/heddle-mesh/heddle/mesh"
)

// nodeID is Istio's form of a node id: TYPE~IP~NAME.NAMESPACE~DOMAIN. Other ids are allowed; then everything comes from metadata.
type nodeID struct {
	kind, ip, name, namespace string
}

func parseNodeID(id string) nodeID {
	parts := strings.Split(id, "~")
	if len(parts) != 4 {
		return nodeID{}
	}
	n := nodeID{kind: parts[0], ip: parts[1], name: parts[2]}
	if i := strings.LastIndexByte(parts[2], '.'); i >= 0 {
		n.name, n.namespace = parts[2][:i], parts[2][i+1:]
	}
	return n
}

// admit makes the proxy: its identity from the credential alone (zero: anonymous), the rest from its node, which must not contradict the identity.
func (s *Server) admit(id identity.ID, node *corev3.Node) (*mesh.Proxy, error) {
	if node.GetId() == "" {
		return nil, status.Error(codes.InvalidArgument, "the first request of the stream names no node; set node.id")
	}
	n := parseNodeID(node.GetId())
	md := node.GetMetadata().GetFields()
	claimed := claim{namespace: text(md["NAMESPACE"]), account: text(md["SERVICE_ACCOUNT"]), idNamespace: n.namespace}
	var err error
	if id.IsZero() {
		if id, err = s.anonymous(claimed); err != nil {
			return nil, err
		}
	}
	if err := claimed.agrees(node.GetId(), id); err != nil {
		return nil, err
	}
	p := &mesh.Proxy{
		ID: node.GetId(), Kind: mesh.Sidecar, Name: text(md["NAME"]), Namespace: mesh.Namespace(id.Namespace()), ServiceAccount: id.ServiceAccount(), Identity: id,
		Labels: labels(md["LABELS"]), Addresses: addresses(n.ip, text(md["INSTANCE_IPS"])),
		Cluster: mesh.ClusterID(text(md["CLUSTER_ID"])), Network: mesh.NetworkID(text(md["NETWORK"])), Envoy: node.GetUserAgentName() == "envoy",
		Capture: text(md["INTERCEPTION_MODE"]), Features: features(md["HEDDLE_FEATURES"]), Metadata: map[string]string{},
		Locality: mesh.Locality{Region: node.GetLocality().GetRegion(), Zone: node.GetLocality().GetZone(), Subzone: node.GetLocality().GetSubZone()},
	}
	if p.Name == "" {
		p.Name = n.name
	}
	if p.Cluster == "" {
		p.Cluster = mesh.DefaultCluster
	}
	if p.Network == "" {
		p.Network = mesh.DefaultNetwork
	}
	if n.kind == "router" {
		p.Kind = mesh.Router
	}
	if isGRPC(node) {
		p.Kind, p.Features = mesh.Proxyless, grpcFeatures(node)
	}
	for k, v := range md {
		if t := text(v); t != "" {
			p.Metadata[k] = t
		}
	}
	p.Build = build(node, p.Metadata)
	if p.Config, p.Probed, err = ownConfig(md["PROXY_CONFIG"]); err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "node %q: metadata PROXY_CONFIG: %v", node.GetId(), err)
	}
	return p, nil
}

// ownConfig reads a proxy's ProxyConfig: a message as Istio's agent sends it, or its text.
func ownConfig(v *structpb.Value) (config *mesh.ProxyConfig, probed bool, err error) {
	var raw []byte
	switch x := v.GetKind().(type) {
	case *structpb.Value_StringValue:
		raw = []byte(x.StringValue)
	case *structpb.Value_StructValue:
		if raw, err = protojson.Marshal(x.StructValue); err != nil {
			return nil, false, err
		}
	}
	if len(raw) == 0 {
		return nil, false, nil
	}
	return settings.OwnProxy(raw)
}

// claim is what a node says of its own identity.
type claim struct{ namespace, account, idNamespace string }

// agrees refuses a node that claims another namespace or account than its credential is for.
func (c claim) agrees(node string, id identity.ID) error {
	for _, x := range []struct{ what, claimed, proven string }{
		{"the node id claims namespace", c.idNamespace, id.Namespace()},
		{"metadata NAMESPACE claims", c.namespace, id.Namespace()},
		{"metadata SERVICE_ACCOUNT claims", c.account, id.ServiceAccount()},
	} {
		if x.claimed != "" && x.claimed != x.proven {
			return status.Errorf(codes.PermissionDenied, "node %q: %s %q but its credential is for %q (%s); start the proxy with the token of its own service account",
				node, x.what, x.claimed, x.proven, id)
		}
	}
	return nil
}

// authenticate finds the identity behind the credential. Without a credential it is zero, which only local clients get, and only if anonymous ones are allowed.
func (s *Server) authenticate(ctx context.Context) (identity.ID, error) {
	err := errNoCredential
	if s.opts.Authenticator != nil {
		var id identity.ID
		if id, err = s.opts.Authenticator.Authenticate(ctx); err == nil {
			return id, nil
		}
	}
	if !s.opts.AllowAnonymous || hasCredential(ctx) {
		return identity.ID{}, status.Errorf(codes.Unauthenticated, "open an xDS stream: %v", err)
	}
	if !local(ctx) {
		return identity.ID{}, status.Error(codes.Unauthenticated, "open an xDS stream: anonymous clients are served on loopback addresses and unix sockets only; show a token")
	}
	return identity.ID{}, nil
}

// anonymous believes what a local client without a credential claims.
func (s *Server) anonymous(c claim) (identity.ID, error) {
	ns, sa := c.namespace, c.account
	if ns == "" {
		ns = c.idNamespace
	}
	if ns == "" {
		ns = "default"
	}
	if sa == "" {
		sa = "default"
	}
	domain := s.opts.TrustDomain
	if domain.IsZero() {
		domain, _ = identity.ParseTrustDomain(identity.DefaultTrustDomain)
	}
	id, err := identity.ParseID(fmt.Sprintf("spiffe://%s/ns/%s/sa/%s", domain, ns, sa))
	if err != nil {
		return id, status.Errorf(codes.InvalidArgument, "open an xDS stream: namespace %q and service account %q of an anonymous client: %v", ns, sa, err)
	}
	return id, nil
}

// build names the proxy's program and version: what a quarantined version belongs to.
func build(node *corev3.Node, md map[string]string) string {
	version := node.GetUserAgentVersion()
	if v := node.GetUserAgentBuildVersion().GetVersion(); v != nil {
		version = strconv.Itoa(int(v.GetMajorNumber())) + "." + strconv.Itoa(int(v.GetMinorNumber())) + "." + strconv.Itoa(int(v.GetPatch()))
	}
	b := strings.TrimSpace(node.GetUserAgentName() + " " + version)
	if b == "" {
		b = md["HEDDLE_VERSION"]
	}
	if b == "" {
		b = md["ISTIO_VERSION"]
	}
	return b
}

func text(v *structpb.Value) string { return v.GetStringValue() }

func labels(v *structpb.Value) mesh.Labels {
	l := mesh.Labels{}
	for k, x := range v.GetStructValue().GetFields() {
		l[k] = text(x)
	}
	return l
}

func features(v *structpb.Value) map[mesh.Feature]bool {
	f := map[mesh.Feature]bool{}
	for _, x := range v.GetListValue().GetValues() {
		f[mesh.Feature(text(x))] = true
	}
	for _, x := range strings.Split(text(v), ",") {
		if x != "" {
			f[mesh.Feature(x)] = true
		}
	}
	return f
}

// addresses are the proxy's own: metadata INSTANCE_IPS, with the one of the node id in front.
func addresses(first, list string) (all []netip.Addr) {
	seen := map[netip.Addr]bool{}
	for _, s := range append([]string{first}, strings.Split(list, ",")...) {
		if ip, err := netip.ParseAddr(strings.TrimSpace(s)); err == nil && !seen[ip.Unmap()] {
			seen[ip.Unmap()] = true
			all = append(all, ip.Unmap())
		}
	}
	return all
}
