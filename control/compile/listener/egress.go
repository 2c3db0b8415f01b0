package listener

import (
	"slices"
	"strconv"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"

	"github.com/heddle-mesh/heddle/control/compile/message"
	"github.com/heddle-mesh/heddle/control/compile/view"
	"github.com/heddle-mesh/heddle/mesh"
)

// egressNames are the listeners that a Sidecar puts at addresses of their own.
func egressNames(v *view.View) (out []string) {
	for _, f := range v.Fronts() {
		if l := front(v, f); len(l.FilterChains) > 0 || l.DefaultFilterChain != nil {
			out = append(out, f.Name())
		}
	}
	if v.Scope().Open() {
		return out
	}
	for _, e := range v.Scope().Egress {
		if plan := v.Outbound(e.Port); e.Port != 0 && plan.Own != nil && plan.Own.Port == e.Port {
			out = append(out, view.ListenerName(plan.OwnAddress(v), e.Port))
		}
	}
	return out
}

// egress is such a listener by name, nil if there is none.
func egress(v *view.View, name string) *listenerv3.Listener {
	if v.Scope().Open() {
		return nil
	}
	for _, f := range v.Fronts() {
		if f.Name() != name {
			continue
		}
		if l := front(v, f); len(l.FilterChains) > 0 || l.DefaultFilterChain != nil {
			return l
		}
	}
	ip, port, ok := view.ParseListenerName(name)
	if !ok {
		return nil
	}
	plan := v.Outbound(port)
	if plan.Own == nil || plan.OwnAddress(v) != ip {
		return nil
	}
	l := &listenerv3.Listener{Name: name, Address: message.Socket(ip, port)}
	if len(plan.HTTP) > 0 {
		l.FilterChains = []*listenerv3.FilterChain{requests(v, name, strconv.Itoa(int(port)))}
	} else {
		connections(v, l, plan.TCP)
	}
	return outboundListener(v, l, port, plan.OwnDialled(v))
}

// front is a unix socket, or a proxy for clients that ask one. Nothing is captured for a unix socket.
func front(v *view.View, f view.Front) *listenerv3.Listener {
	l := &listenerv3.Listener{Name: f.Name()}
	bound := f.Capture == mesh.CaptureNone || !v.Captured()
	if f.Bind.Kind() == mesh.AddrUnix {
		bound = true
		l.Address = &corev3.Address{Address: &corev3.Address_Pipe{Pipe: &corev3.Pipe{Path: f.Bind.Text()}}}
	} else {
		l.Address = message.Socket(f.At(), f.Port)
	}
	if f.Proxy || f.Protocol.IsHTTP() {
		l.FilterChains = []*listenerv3.FilterChain{requests(v, f.Name(), f.Route())}
		return outboundListener(v, l, f.Port, bound || f.Proxy)
	}
	var targets []view.Target
	for s := range v.Named() {
		if p := slices.IndexFunc(s.Ports, func(p mesh.Port) bool { return p.Protocol != mesh.UDP && !p.Protocol.IsHTTP() }); p >= 0 && f.Imports(s.ID) {
			targets = append(targets, view.Target{Service: s, Port: mesh.Port{Name: s.Ports[p].Name, Number: s.Ports[p].Number, Protocol: f.Protocol}})
		}
	}
	connections(v, l, targets)
	return outboundListener(v, l, f.Port, bound)
}

func requests(v *view.View, name, route string) *listenerv3.FilterChain {
	return &listenerv3.FilterChain{Filters: []*listenerv3.Filter{(&manager{statPrefix: "outbound_" + name, route: route}).filter(v)}}
}

// connections lead to the services by the server names of TLS, or else to the first of them: nothing else tells them apart.
func connections(v *view.View, l *listenerv3.Listener, targets []view.Target) {
	named := map[string]bool{}
	var first *view.Target
	for i, t := range targets {
		if p := t.Port.Protocol; p == mesh.TLS || p == mesh.HTTPS {
			for _, c := range tlsChains(v, t) {
				if key := c.FilterChainMatch.String(); !named[key] {
					named[key] = true
					l.FilterChains = append(l.FilterChains, c)
				}
			}
			continue
		}
		if first == nil {
			first = &targets[i]
			continue
		}
		v.Notice(mesh.Problem{
			Object: v.Scope().Origin, Field: "spec.egress", Code: mesh.CodeConflict,
			Message: "the connections of listener " + l.Name + " go to " + string(first.Service.ID.Host) + " alone, because nothing tells those to " + string(t.Service.ID.Host) + " from them",
			Hint:    "import one service there, or use one listener for each",
		})
	}
	if first != nil {
		l.DefaultFilterChain = &listenerv3.FilterChain{Filters: tcpFilters(v, *first)}
	}
	sniff(v, l)
}
