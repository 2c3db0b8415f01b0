package config

// Session is envoy.extensions.filters.http.stateful_session.v3.StatefulSession: the client keeps the address of the endpoint that answered it, and names it in its next requests.
// One of Header and Cookie is set; in the zero value, which switches sessions off, none is.
type Session struct {
	Header string // lower case
	Cookie *HashCookie
	// Strict: a request that names an endpoint that is not there, or is sick, is refused; else another one takes it.
	Strict bool
}
