package decode

import (
	"strings"

	sessionv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/stateful_session/v3"
	cookiev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/stateful_session/cookie/v3"
	headerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/stateful_session/header/v3"

	"github.com/heddle-mesh/heddle/data/proxy/config"
)

// session reads how clients keep to endpoints. Without a state there are no sessions.
func (r *read) session(path string, m *sessionv3.StatefulSession) *config.Session {
	s := &config.Session{Strict: m.GetStrict()}
	if m.GetSessionState() == nil {
		return s
	}
	p := path + ".session_state.typed_config"
	state, err := open(m.GetSessionState().GetTypedConfig())
	if err != nil {
		return s
	}
	switch state := state.(type) {
	case *headerv3.HeaderBasedSessionState:
		if s.Header = strings.ToLower(state.GetName()); s.Header == "" {
			r.add(p+".name", "it is empty")
		}
	case *cookiev3.CookieBasedSessionState:
		c := state.GetCookie()
		if c.GetName() == "" {
			r.add(p+".cookie.name", "it is empty")
		}
		s.Cookie = &config.HashCookie{Name: c.GetName(), Path: c.GetPath()}
		for _, a := range c.GetAttributes() {
			s.Cookie.Attributes = append(s.Cookie.Attributes, attribute(a.GetName(), a.GetValue()))
		}
	default:
		r.add(p, "%s keeps no session", state.ProtoReflect().Descriptor().FullName())
	}
	return s
}

// sessions reads the filter; before is where another one stands, "" for none. One that is switched off serves routes that say something of it.
func (r *read) sessions(path, before string, m *sessionv3.StatefulSession, disabled bool, h *config.HTTP) {
	if before != "" {
		for _, p := range []string{before, path} {
			r.add(p+".typed_config", "there are two filters for sessions")
		}
	}
	if h.Session = r.session(path+".typed_config", m); disabled {
		h.Session = &config.Session{}
	}
}

// sessionOf reads what a route says of sessions.
func (r *read) sessionOf(path string, m *sessionv3.StatefulSessionPerRoute) *config.Session {
	if m.GetStatefulSession() != nil {
		return r.session(path+".stateful_session", m.GetStatefulSession())
	}
	if !m.GetDisabled() {
		r.add(path, "want disabled: true, or stateful_session")
	}
	return &config.Session{}
}
