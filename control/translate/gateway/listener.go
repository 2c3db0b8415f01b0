package gateway

import (
	"crypto/tls"
	"fmt"
	"slices"
	"strings"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/translate/condition"
	"github.com/heddle-mesh/heddle/control/translate/note"
	"github.com/heddle-mesh/heddle/mesh"
	corev1 "k8s.io/api/core/v1"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// listenerState is what is known of one listener.
type listenerState struct {
	server   mesh.Server
	hostname mesh.Host // "" is every host
	kinds    []condition.RouteKind
	// why it is not served: the reasons of conditions, "" when all is well; fault is any of them
	accepted, acceptedMessage     string
	conflict, conflictMessage     string
	resolved, resolvedMessage     string
	fault                         string
	names                         []string // that its certificates are good for
	overlap, overlapMessage       string
	unresolvedKindsOnly, deniedBy bool
	settled                       bool // against it, by a listener of the Gateway or of an older ListenerSet
}

// listeners reads those of a Gateway, or of a ListenerSet of it: then those that others have taken before go first.
func (v *visit) listeners(list []gwv1.Listener, gateway *visit, taken []listenerState) []listenerState {
	var out []listenerState
	denials := api.Unenforced(v.obj)
	for i := range list {
		path := fmt.Sprintf("spec.listeners[%d]", i)
		s := v.listener(&list[i], path)
		v.clients(&s, gateway)
		v.vouched(&s, path+".tls")
		for _, f := range denials {
			if note.Under(f.Path, path) {
				s.deny(v, f.Path, f.Reason)
			}
		}
		v.settle(&s, taken, path)
		for j := range out {
			if out[j].server.Name == s.server.Name {
				v.Invalid(path+".name", "two listeners have the name %s", s.server.Name)
			}
			if !s.settled && !out[j].settled && conflict(&out[j], &s) { // what is lost already is in nobody's way
				v.Add(mesh.CodeConflict, path, "remove one of them", "%s, so neither is served", s.conflictMessage)
			}
		}
		out = append(out, s)
	}
	overlaps(out)
	for i := range out {
		s := &out[i]
		switch {
		case s.conflict != "":
			s.fault = s.conflict
		case s.accepted != "" && !s.deniedBy: // a denied listener is there, and closes every connection
			s.fault = s.accepted
		case s.resolved != "" && !s.unresolvedKindsOnly:
			s.fault = s.resolved
		}
	}
	return out
}

// conflict compares two listeners: one port has one protocol, and one host name belongs to one listener.
func conflict(a, b *listenerState) bool {
	reason, what := excludes(a, b)
	if reason == "" {
		return false
	}
	for _, s := range []*listenerState{a, b} {
		s.conflict, s.conflictMessage = reason, fmt.Sprintf("listeners %s and %s have port %d %s", a.server.Name, b.server.Name, a.server.Port, what)
	}
	return true
}

// excludes says why two listeners cannot both be served, and what they have besides one port; "" when they can.
func excludes(a, b *listenerState) (reason, what string) {
	switch {
	case a.server.Port != b.server.Port || a.server.Port == 0:
	case (a.server.Protocol == mesh.UDP) != (b.server.Protocol == mesh.UDP): // ports for datagrams are others than those for connections
	case a.server.Protocol != b.server.Protocol && (a.server.TLS == nil || b.server.TLS == nil): // HTTPS and TLS are told apart by server name
		return string(gwv1.ListenerReasonProtocolConflict), "with different protocols"
	case a.hostname == b.hostname:
		return string(gwv1.ListenerReasonHostnameConflict), "and the same host name"
	}
	return "", ""
}

func (v *visit) listener(l *gwv1.Listener, path string) listenerState {
	s := listenerState{server: mesh.Server{Name: string(l.Name)}}
	if l.Name == "" {
		v.Invalid(path+".name", "the listener has no name")
	}
	if l.Port < 1 || l.Port > 65535 {
		v.Invalid(path+".port", "%d is not a port number", l.Port)
	} else {
		s.server.Port = uint16(l.Port)
	}
	if h := deref(l.Hostname, ""); h != "" {
		host, err := mesh.ParseHost(string(h))
		if err != nil || host == "*" {
			v.Invalid(path+".hostname", "%q is not a host name", h)
		}
		s.hostname = host
	}
	s.server.Hosts = []mesh.ServerHost{{Host: s.hostname}}
	if s.hostname == "" {
		s.server.Hosts[0].Host = "*"
	}
	switch l.Protocol {
	case gwv1.HTTPProtocolType:
		s.server.Protocol = mesh.HTTP
		if l.TLS != nil {
			v.Invalid(path+".tls", "a listener for HTTP has no TLS settings")
		}
	case gwv1.HTTPSProtocolType:
		s.server.Protocol = mesh.HTTPS
		v.listenerTLS(&s, l, path+".tls")
	case gwv1.UDPProtocolType:
		s.server.Protocol = mesh.UDP
		if l.TLS != nil {
			v.Invalid(path+".tls", "a listener for UDP has no TLS settings")
		}
		if s.hostname != "" {
			v.Invalid(path+".hostname", "datagrams have no host name, so a listener for UDP has none")
		}
	case gwv1.TLSProtocolType:
		s.server.Protocol = mesh.TLS
		v.listenerTLS(&s, l, path+".tls")
	case gwv1.TCPProtocolType:
		s.server.Protocol = mesh.TCP
		if l.TLS != nil {
			v.Invalid(path+".tls", "a listener for TCP has no TLS settings; one for TLS has")
		}
		if s.hostname != "" {
			v.Invalid(path+".hostname", "connections have no host name, so a listener for TCP has none")
		}
	default:
		s.accepted, s.acceptedMessage = string(gwv1.ListenerReasonUnsupportedProtocol), fmt.Sprintf("protocol %s is not served; HTTP, HTTPS, TLS, TCP and UDP are", l.Protocol)
		v.NotEnforced(path+".protocol", "listener %s is not served: protocol %s is not possible", l.Name, l.Protocol)
	}
	v.routeKinds(&s, l, path)
	return s
}

// routeKinds fills in which of the wanted kinds of route may attach.
func (v *visit) routeKinds(s *listenerState, l *gwv1.Listener, path string) {
	s.kinds = []condition.RouteKind{}
	resolved := s.resolved == ""
	if s.accepted == string(gwv1.ListenerReasonUnsupportedProtocol) {
		return
	}
	own := routeKinds(l)
	if l.AllowedRoutes == nil || len(l.AllowedRoutes.Kinds) == 0 {
		for _, k := range own {
			s.kinds = append(s.kinds, condition.RouteKind{Group: api.GroupGateway, Kind: string(k)})
		}
		return
	}
	for i, k := range l.AllowedRoutes.Kinds {
		if string(deref(k.Group, api.GroupGateway)) == api.GroupGateway && slices.Contains(own, k.Kind) {
			s.kinds = append(s.kinds, condition.RouteKind{Group: api.GroupGateway, Kind: string(k.Kind)})
			continue
		}
		if s.resolved == "" {
			s.resolved, s.resolvedMessage = string(gwv1.ListenerReasonInvalidRouteKinds), fmt.Sprintf("routes of kind %s%s cannot attach", k.Kind, other(k.Group))
		}
		v.NotEnforced(fmt.Sprintf("%s.allowedRoutes.kinds[%d]", path, i), "routes of kind %s%s cannot attach to a listener for %s", k.Kind, other(k.Group), l.Protocol)
	}
	s.unresolvedKindsOnly = resolved && s.resolved != "" && len(s.kinds) > 0
}

func (v *visit) listenerTLS(s *listenerState, l *gwv1.Listener, path string) {
	t := l.TLS
	s.server.TLS = &mesh.ServerTLS{Mode: mesh.ServerSimple}
	if t == nil {
		v.Add(mesh.CodeInvalid, path, "give tls.certificateRefs", "a listener for %s needs a certificate", l.Protocol)
		return
	}
	if passes(t) {
		s.server.TLS.Mode = mesh.ServerPassthrough
		switch {
		case s.server.Protocol == mesh.HTTPS:
			s.accepted, s.acceptedMessage = string(gwv1.ListenerReasonUnsupportedValue), path+".mode: a listener for HTTPS cannot pass TLS through; use protocol TLS"
			v.Add(mesh.CodeNotEnforced, path+".mode", "use protocol TLS", "listener %s is not served: one for HTTPS cannot pass TLS through", l.Name)
		case len(t.CertificateRefs) > 0:
			v.NotEnforced(path+".certificateRefs", "a listener that passes TLS through shows no certificate of its own")
		case len(t.Options) > 0:
			v.NotEnforced(path+".options", "TLS does not end at a listener that passes it through, so options have no effect")
		}
		return
	}
	v.suites(s, t, path)
	if v.terminated(s, t, path) {
		return
	}
	if len(t.CertificateRefs) == 0 {
		v.Add(mesh.CodeInvalid, path+".certificateRefs", "name a Secret of type kubernetes.io/tls", "a listener for %s needs a certificate", l.Protocol)
		return
	}
	for i, r := range t.CertificateRefs {
		names, reason, message := v.certificate(r)
		s.names = append(s.names, names...)
		if reason != "" {
			s.resolved, s.resolvedMessage = reason, fmt.Sprintf("%s.certificateRefs[%d]: %s", path, i, message)
			v.NotFound(fmt.Sprintf("%s.certificateRefs[%d]", path, i), "", "%s", message)
			continue
		}
		name := string(deref(r.Namespace, gwv1.Namespace(v.ns))) + "/" + string(r.Name)
		if s.server.TLS.Credential != "" {
			s.server.TLS.More = append(s.server.TLS.More, name)
			continue
		}
		s.server.TLS.Credential = name
	}
}

// certificate judges a reference to a Secret, and gives the names for which its certificate is good.
func (v *visit) certificate(r gwv1.SecretObjectReference) (names []string, reason, message string) {
	ns := mesh.Namespace(deref(r.Namespace, gwv1.Namespace(v.ns)))
	invalid := string(gwv1.ListenerReasonInvalidCertificateRef)
	if deref(r.Group, "") != "" || deref(r.Kind, "Secret") != "Secret" {
		return nil, invalid, fmt.Sprintf("a certificate cannot be of kind %s%s; name a Secret", deref(r.Kind, "Secret"), inGroup(string(deref(r.Group, ""))))
	}
	if !granted(v.obj.Kind.Kind, v.ns, "", "Secret", string(r.Name), ns, v.in) {
		return nil, string(gwv1.ListenerReasonRefNotPermitted), fmt.Sprintf("no ReferenceGrant in namespace %s lets %ss of namespace %s use Secret %s", ns, v.obj.Kind.Kind, v.ns, r.Name)
	}
	o, ok := v.in.Object(mesh.Ref{Kind: "Secret", Namespace: ns, Name: string(r.Name)})
	secret, isSecret := o.Spec.(*corev1.Secret)
	if !ok || !isSecret {
		return nil, invalid, fmt.Sprintf("there is no Secret %s in namespace %s", r.Name, ns)
	}
	pair, err := tls.X509KeyPair(entry(secret, corev1.TLSCertKey), entry(secret, corev1.TLSPrivateKeyKey))
	if err != nil {
		return nil, invalid, fmt.Sprintf("Secret %s/%s holds no usable certificate and key: %s", ns, r.Name, strings.TrimPrefix(err.Error(), "tls: "))
	}
	return pair.Leaf.DNSNames, "", ""
}

func (v *visit) listenerConditions(s *listenerState, refusal *condition.Condition) []condition.Condition {
	or := func(reason, otherwise string) string {
		if reason == "" {
			return otherwise
		}
		return reason
	}
	accepted := v.cond(string(gwv1.ListenerConditionAccepted), s.accepted == "", or(s.accepted, string(gwv1.ListenerReasonAccepted)), or(s.acceptedMessage, "the listener is valid"))
	if s.conflict != "" {
		accepted = v.cond(string(gwv1.ListenerConditionAccepted), false, s.conflict, s.conflictMessage)
	}
	programmed := v.cond(string(gwv1.ListenerConditionProgrammed), true, string(gwv1.ListenerReasonProgrammed), "the listener is served")
	if refusal != nil {
		programmed = v.cond(string(gwv1.ListenerConditionProgrammed), false, string(gwv1.ListenerReasonInvalid), "the gateway is not accepted")
	} else if s.fault != "" || s.deniedBy {
		programmed = v.cond(string(gwv1.ListenerConditionProgrammed), false, string(gwv1.ListenerReasonInvalid), "the listener is not valid")
	}
	all := []condition.Condition{
		accepted,
		v.cond(string(gwv1.ListenerConditionConflicted), s.conflict != "", or(s.conflict, string(gwv1.ListenerReasonNoConflicts)), or(s.conflictMessage, "no other listener is in the way")),
		v.cond(string(gwv1.ListenerConditionResolvedRefs), s.resolved == "", or(s.resolved, string(gwv1.ListenerReasonResolvedRefs)), or(s.resolvedMessage, "what the listener refers to exists")),
		programmed,
	}
	if s.overlap != "" {
		all = append(all, v.cond(string(gwv1.ListenerConditionOverlappingTLSConfig), true, s.overlap, s.overlapMessage))
	}
	return all
}

// entry reads a Secret; in a folder nobody has moved stringData into data.
func entry(s *corev1.Secret, key string) []byte {
	if v, ok := s.Data[key]; ok {
		return v
	}
	return []byte(s.StringData[key])
}

// other names the group of a kind of route, if it is none of the Gateway API.
func other(group *gwv1.Group) string {
	if g := string(deref(group, api.GroupGateway)); g != api.GroupGateway {
		return inGroup(g)
	}
	return ""
}
