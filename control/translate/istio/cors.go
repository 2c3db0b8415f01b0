package istio

import (
	"time"

	"github.com/heddle-mesh/heddle/mesh"
	networking "istio.io/api/networking/v1alpha3"
)

func (v *visit) cors(h *networking.HTTPRoute, path string) *mesh.CORS {
	x := h.CorsPolicy
	if x == nil {
		return nil
	}
	if h.Redirect != nil || h.DirectResponse != nil {
		v.NotEnforced(path, "it has no effect on a rule that answers by itself, with redirect or directResponse")
		return nil
	}
	c := &mesh.CORS{
		Methods: v.tokens(x.AllowMethods, path+".allowMethods", "method"), Headers: v.tokens(x.AllowHeaders, path+".allowHeaders", "header name"),
		Expose: v.tokens(x.ExposeHeaders, path+".exposeHeaders", "header name"), Credentials: x.AllowCredentials.GetValue(),
		AnswerUnmatched: x.UnmatchedPreflights == networking.CorsPolicy_IGNORE,
	}
	v.corsOrigins(c, x, path)
	if x.MaxAge != nil {
		age := x.MaxAge.AsDuration()
		if age < 0 || age%time.Second != 0 {
			v.Invalid(path+".maxAge", "%s is not a number of whole seconds from 0 on, which is all that the header can say", age)
		}
		c.MaxAge = &age
	}
	return c
}

func (v *visit) corsOrigins(c *mesh.CORS, x *networking.CorsPolicy, path string) {
	for i, o := range x.AllowOrigins {
		if o.GetMatchType() == nil {
			v.Invalid(at(path+".allowOrigins", i), "one of exact, prefix and regex is wanted")
			continue
		}
		c.Origins = append(c.Origins, v.stringMatch(o, false, at(path+".allowOrigins", i)))
	}
	old := x.AllowOrigin //nolint:staticcheck // deprecated, and still written by users
	if len(old) > 0 && len(x.AllowOrigins) > 0 {
		v.Add(mesh.CodeInvalid, path+".allowOrigin", "move them to allowOrigins", "only one of allowOrigin and allowOrigins may be given")
		return
	}
	for _, o := range old {
		c.Origins = append(c.Origins, mesh.StringMatch{Kind: mesh.MatchExact, Value: o})
	}
	if len(c.Origins) == 0 {
		v.Invalid(path, "allowOrigins is missing, so no page of another origin is let in")
	}
}

// tokens checks the members of a list in a header.
func (v *visit) tokens(list []string, path, what string) []string {
	for i, s := range list {
		if !headerName(s) {
			v.Invalid(at(path, i), "%q is not a %s", s, what)
		}
	}
	return list
}
