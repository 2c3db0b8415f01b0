package route

import (
	"strconv"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/heddle-mesh/heddle/control/compile/message"
	"github.com/heddle-mesh/heddle/mesh"
)

// The numbers of the fields that are written here.
const (
	hostRoutes protowire.Number = 3

	routeMatchOf   protowire.Number = 1
	routeActionOf  protowire.Number = 2
	routeDecorator protowire.Number = 5
	routeName      protowire.Number = 14
	matchPrefix    protowire.Number = 1

	actionCluster       protowire.Number = 1
	actionTimeout       protowire.Number = 8
	actionRetries       protowire.Number = 9
	actionForwardedHost protowire.Number = 38
	decoratorOperation  protowire.Number = 1
)

var encodedRetries = message.Any(usualRetries).Value

// serve fills a virtual host with the route of a service that no rule speaks of. Nearly every service has it, and nearly always there is nothing to it, so that it is written without
// making messages.
func (p place) serve(h *routev3.VirtualHost, s *mesh.Service) {
	if p.v.Kind() == mesh.Proxyless || p.v.Settings().Retry != nil || p.v.Hash(s.ID.Host, "", p.port) != nil {
		h.Routes = p.fallback(s)
		return
	}
	message.Append(h, p.appendPlain(p.v.Scratch(512), p.v.Canonical(s.ID.Host)))
}

func (p place) appendPlain(b []byte, host mesh.Host) []byte {
	b, at := message.Begin(b, hostRoutes)
	b, match := message.Begin(b, routeMatchOf)
	b = message.End(message.AppendText(b, matchPrefix, "/"), match)
	b, action := message.Begin(b, routeActionOf)
	b, cluster := message.Begin(b, actionCluster)
	b = append(b, "outbound|"...)
	b = append(strconv.AppendUint(b, uint64(p.port), 10), "||"...)
	b = message.End(append(b, host...), cluster)
	b = protowire.AppendBytes(protowire.AppendTag(b, actionTimeout, protowire.BytesType), nil)
	b = protowire.AppendBytes(protowire.AppendTag(b, actionRetries, protowire.BytesType), encodedRetries)
	if p.v.ProxyConfig().ForwardedHost {
		b = message.AppendNumber(b, actionForwardedHost, 1)
	}
	b = message.End(b, action)
	b, decorator := message.Begin(b, routeDecorator)
	b, operation := message.Begin(b, decoratorOperation)
	b = append(strconv.AppendUint(append(append(b, host...), ':'), uint64(p.port), 10), "/*"...)
	b = message.End(message.End(b, operation), decorator)
	return message.End(message.AppendText(b, routeName, "default"), at)
}
