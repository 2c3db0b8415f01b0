package gateway

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/heddle-mesh/heddle/mesh"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// originForm is that of CORSOrigin.
var originForm = regexp.MustCompile(`^(\*|https?://(\*|(\*\.)?([a-zA-Z0-9-]+\.)*[a-zA-Z0-9-]+)(:[0-9]{1,5})?)$`)

// cors follows HTTPCORSFilter: preflights are always answered here, those of other origins without permission.
func (v *routeVisit) cors(x *gwv1.HTTPCORSFilter, path string) *mesh.CORS {
	c := &mesh.CORS{Credentials: deref(x.AllowCredentials, false), AnswerUnmatched: true}
	for i, o := range x.AllowOrigins {
		if !originForm.MatchString(string(o)) {
			v.Invalid(fmt.Sprintf("%s.allowOrigins[%d]", path, i), "%q is not an origin such as https://shop.example, http://*.shop.example:8080 and *", o)
			continue
		}
		c.Origins = append(c.Origins, origin(string(o)))
	}
	for i, m := range x.AllowMethods {
		c.Methods = append(c.Methods, v.token(string(m), fmt.Sprintf("%s.allowMethods[%d]", path, i), "method"))
	}
	c.Headers = v.names(x.AllowHeaders, path+".allowHeaders")
	c.Expose = v.names(x.ExposeHeaders, path+".exposeHeaders")
	for _, list := range []struct {
		field string
		of    []string
	}{{"allowMethods", c.Methods}, {"allowHeaders", c.Headers}} {
		if len(list.of) > 1 && slices.Contains(list.of, "*") {
			v.Invalid(path+"."+list.field, "* cannot stand beside others")
		}
	}
	if c.Credentials && slices.Contains(c.Expose, "*") { // it would be taken for a header of that name (Fetch standard, "CORS protocol and credentials")
		v.NotEnforced(path+".exposeHeaders", "with allowCredentials * exposes nothing; name the headers")
		c.Expose = slices.DeleteFunc(c.Expose, func(s string) bool { return s == "*" })
	}
	if x.MaxAge < 0 {
		v.Invalid(path+".maxAge", "%d is not a number of seconds above 0", x.MaxAge)
	}
	age := 5 * time.Second
	if x.MaxAge > 0 {
		age = time.Duration(x.MaxAge) * time.Second
	}
	c.MaxAge = &age
	return c
}

func (v *routeVisit) names(list []gwv1.HTTPHeaderName, path string) (out []string) {
	for i, n := range list {
		out = append(out, v.token(string(n), fmt.Sprintf("%s[%d]", path, i), "header name"))
	}
	return out
}

func (v *routeVisit) token(s, path, what string) string {
	if !fieldName(s) {
		v.Invalid(path, "%q is not a %s", s, what)
	}
	return s
}

// origin reads a CORSOrigin that has its form. The default port of a scheme may be written or not; browsers leave it out.
func origin(s string) mesh.StringMatch {
	if s == "*" {
		return mesh.StringMatch{Kind: mesh.MatchExact, Value: "*"}
	}
	scheme, _, _ := strings.Cut(s, ":")
	s = strings.ToLower(strings.TrimSuffix(s, map[string]string{"http": ":80", "https": ":443"}[scheme]))
	if !strings.Contains(s, "*") {
		return mesh.StringMatch{Kind: mesh.MatchExact, Value: s}
	}
	return mesh.StringMatch{Kind: mesh.MatchRegex, Value: strings.ReplaceAll(regexp.QuoteMeta(s), `\*`, `[^/:]+`)}
}
