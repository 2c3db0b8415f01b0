package filter

import (
	"strconv"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	sessionv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/stateful_session/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	cookiev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/stateful_session/cookie/v3"
	headerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/stateful_session/header/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/type/http/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/heddle-mesh/heddle/control/compile/message"
	"github.com/heddle-mesh/heddle/mesh"
)

const sessionName = "envoy.filters.http.stateful_session"

// Session is the filter that routes configure with SessionOf; it costs nothing where they do not.
func Session() *hcmv3.HttpFilter {
	f := http(sessionName, &sessionv3.StatefulSession{})
	f.Disabled = true
	return f
}

// SessionOf is what a route configures of the filter, with its name. path is that of the cookie; attributes are more of it. A client whose endpoint has gone, or is sick, is led
// to another one. The lifetime is an attribute, too: Envoy's own would put a time since the start of the proxy's machine into the token, which other machines misread.
func SessionOf(s *mesh.Session, path string, attributes ...string) (string, *anypb.Any) {
	var state proto.Message = &headerv3.HeaderBasedSessionState{Name: s.Name}
	name := "envoy.http.stateful_session.header"
	if !s.Header {
		name = "envoy.http.stateful_session.cookie"
		c := &httpv3.Cookie{Name: s.Name, Path: path}
		if s.Lifetime > 0 {
			c.Attributes = append(c.Attributes, &httpv3.CookieAttribute{Name: "Max-Age", Value: strconv.FormatInt(int64(s.Lifetime.Seconds()), 10)})
		}
		for i := 0; i+1 < len(attributes); i += 2 {
			c.Attributes = append(c.Attributes, &httpv3.CookieAttribute{Name: attributes[i], Value: attributes[i+1]})
		}
		state = &cookiev3.CookieBasedSessionState{Cookie: c}
	}
	return sessionName, message.Any(&sessionv3.StatefulSessionPerRoute{Override: &sessionv3.StatefulSessionPerRoute_StatefulSession{StatefulSession: &sessionv3.StatefulSession{
		SessionState: &corev3.TypedExtensionConfig{Name: name, TypedConfig: message.Any(state)},
	}}})
}
