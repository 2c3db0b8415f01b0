package stream

import (
	"bytes"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/filter/forwarded"
	"github.com/heddle-mesh/heddle/data/proxy/filter/path"
	"github.com/heddle-mesh/heddle/data/proxy/trace"
)

// prepare checks a request and brings it into the form that policy, routes and the upstream all see. It says whether to go on.
func (x *Exchange) prepare() bool {
	h, c := &x.Request, x.m.Config
	if len(h.Authority()) == 0 && h.Minor == 0 && c.DefaultHost != "" && h.Kind != codec.CONNECT {
		h.SetAuthorityString(c.DefaultHost)
	}
	if len(h.Authority()) == 0 && h.Kind != codec.CONNECT {
		x.down.doubtful()
		x.Reply(400, "", "missing_host_header")
		return false
	}
	if v, ok := h.Value(codec.Expect); ok && bytes.EqualFold(v, []byte("100-continue")) && !c.Proxy100Continue {
		h.Del(codec.Expect)
		if !x.requestDone {
			x.down.Informational(&continues)
		}
	}
	if h.Kind != codec.CONNECT && !x.cleanPath() {
		return false
	}
	x.stripPort()
	x.Client = forwarded.Request(h, x.origin, c, x.w.scratch)
	x.requestID()
	x.decideTracing()
	if c.Via != "" {
		h.Append(codec.Via, ", ", []byte(c.Via))
	}
	return true
}

// continues is the answer to expect: 100-continue.
var continues = codec.Head{Status: 100}

// upgradable says whether the protocol that is asked for is among those allowed, by the route or else by the connection manager (upgrade_configs). A CONNECT
// without a route is answered like everything without a route.
func (x *Exchange) upgradable() bool {
	want := []byte("connect")
	if x.Request.Kind != codec.CONNECT {
		want, _ = x.Request.Value(codec.Upgrade)
	} else if x.route == nil {
		return true
	}
	if x.route != nil && x.route.Forward != nil {
		if allowed, said := x.route.Forward.Upgrades[string(bytes.ToLower(want))]; said {
			return allowed
		}
	}
	for _, u := range x.m.Config.Upgrades {
		if bytes.EqualFold(want, []byte(u)) {
			return true
		}
	}
	return false
}

func (x *Exchange) cleanPath() bool {
	switch p := x.Request.Path(); {
	case bytes.IndexByte(p, '#') >= 0:
		x.Reply(400, "", "path_normalization_failed")
		return false
	case p[0] != '/': // "*"
		x.Reply(404, "", "absolute_path_rejected")
		return false
	}
	p, verdict := path.Clean(x.Request.Path(), x.m.paths, x.w.scratch)
	switch verdict {
	case path.Changed:
		x.Request.SetPath(p)
	case path.Redirect:
		x.reply(307, "", "path_normalization_failed", func(h *codec.Head) { h.Set(codec.Location, p) })
		return false
	case path.Refused:
		x.Reply(400, "", "path_normalization_failed")
		return false
	}
	return true
}

// stripPort takes the port, or a final dot, from the host where that is asked for (strip_any_host_port, strip_matching_host_port, strip_trailing_host_dot).
func (x *Exchange) stripPort() {
	c := x.m.Config
	if !c.StripAnyPort && !c.StripMatchPort && !c.StripHostDot {
		return
	}
	host := x.Request.Authority()
	i := bytes.LastIndexByte(host, ':')
	port := []byte(nil)
	if i >= 0 && bytes.IndexByte(host[i:], ']') < 0 && x.Request.Kind != codec.CONNECT {
		host, port = host[:i], host[i:]
	}
	if c.StripHostDot && bytes.HasSuffix(host, []byte(".")) {
		host = host[:len(host)-1]
	}
	if c.StripAnyPort || c.StripMatchPort && len(port) > 1 && string(port[1:]) == portText(x.origin.Local.Port()) {
		port = nil
	}
	x.Request.SetAuthority(append(append([]byte(nil), host...), port...))
}

func (x *Exchange) requestID() {
	c := x.m.Config
	if !c.GenerateRequestID {
		return
	}
	_, have := x.Request.Value(codec.RequestID)
	if have && (!x.Client.Edge || c.PreserveExternalID) {
		if x.Client.Edge {
			trace.Forget(&x.Request)
		}
		return
	}
	id := &x.w.id // on the stack it would escape
	trace.PutID(id, x.w.Loop.Rand(), x.w.Loop.Rand())
	x.Request.Set(codec.RequestID, id[:])
}
