package gateway

import (
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"time"

	"github.com/heddle-mesh/heddle/mesh"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// ownHeaders are fields of HTTP with a meaning that a session's token would take from them.
var ownHeaders = []string{"host", "cookie", "set-cookie", "content-length", "transfer-encoding", "connection", "te", "upgrade", "authorization"}

// session follows SessionPersistence (GEP-1619). Without a name of its own a session is called after its rule.
func (v *routeVisit) session(r *mesh.HTTPRule, x *gwv1.SessionPersistence, backends int, path string) {
	if x == nil {
		return
	}
	s := &mesh.Session{Name: deref(x.SessionName, "")}
	lifetime := gwv1.SessionCookieLifetimeType
	if x.CookieConfig != nil {
		lifetime = deref(x.CookieConfig.LifetimeType, lifetime)
	}
	switch deref(x.Type, gwv1.CookieBasedSessionPersistence) {
	case gwv1.CookieBasedSessionPersistence:
	case gwv1.HeaderBasedSessionPersistence:
		if s.Header = true; x.CookieConfig != nil {
			v.Invalid(path+".cookieConfig", "the session's type is Header, so it has no cookie")
		}
		if backends > 1 {
			v.NotEnforced(path+".type", "a session in a header keeps to its endpoint only when the weights lead to that one's backend; with several backends use type Cookie")
		}
	default:
		v.Invalid(path+".type", "%q is not a type of session", *x.Type)
	}
	switch {
	case s.Name == "":
		s.Name = v.sessionName(r.Name, path)
	case !fieldName(s.Name) || s.Header && slices.Contains(ownHeaders, strings.ToLower(s.Name)):
		v.Invalid(path+".sessionName", "%q cannot be the name of a session's cookie or header", s.Name)
	}
	v.lifetime(s, x.AbsoluteTimeout, lifetime, path)
	r.Session = s
}

// lifetime tells clients how long to keep the cookie. Nothing else ends a session: its token is the address of an endpoint, and proxies keep nothing of it.
func (v *routeVisit) lifetime(s *mesh.Session, timeout *gwv1.Duration, kind gwv1.CookieLifetimeType, path string) {
	d := time.Duration(0)
	if timeout != nil {
		d = v.duration(*timeout, path+".absoluteTimeout")
	}
	switch kind {
	case gwv1.PermanentCookieLifetimeType:
		if d <= 0 {
			v.Invalid(path+".absoluteTimeout", "a cookie with lifetimeType Permanent needs one, above 0")
		}
		s.Lifetime = (d + time.Second - 1).Truncate(time.Second)
		return
	case gwv1.SessionCookieLifetimeType:
	default:
		v.Invalid(path+".cookieConfig.lifetimeType", "%q is not a lifetime of cookies", kind)
	}
	switch {
	case timeout == nil:
	case s.Header:
		v.NotEnforced(path+".absoluteTimeout", "a session in a header lasts as long as the client sends it")
	default:
		v.Add(mesh.CodeNotEnforced, path+".absoluteTimeout", "set cookieConfig.lifetimeType to Permanent", "a cookie without a lifetime of its own lasts as long as the client keeps it")
	}
}

// sessionName is one that no other rule has.
func (v *routeVisit) sessionName(rule, path string) string {
	if rule == "" {
		rule = path
	}
	h := fnv.New32a()
	h.Write(fmt.Appendf(nil, "%s/%s/%s/%s", v.obj.Kind.Kind, v.ns, v.obj.Meta.Name, rule))
	return fmt.Sprintf("heddle-session-%08x", h.Sum32())
}
