package extauthz

import (
	"strings"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/route"
)

// edit changes one field.
type edit struct {
	name, value string // the name in lower case
	how         action
}

// action is how a field is changed.
type action uint8

const (
	set         action = iota
	add                // beside those that are there
	addIfAbsent        // only where there is none
	setIfThere
	addIfThere
)

func (e *edit) apply(f *codec.Fields) {
	if pinned(e.name) || strings.ContainsAny(e.value, "\r\n\x00") {
		return
	}
	n := codec.MakeName(e.name)
	switch there := f.Has(n); {
	case e.how == addIfAbsent && there, (e.how == setIfThere || e.how == addIfThere) && !there:
	case e.how == add, e.how == addIfThere:
		f.AddString(n, e.value)
	default:
		f.SetString(n, e.value)
	}
}

// pinned are names that a server cannot change: what the message is routed by, and how it is framed.
func pinned(name string) bool {
	switch name {
	case "", "host", "content-length", "transfer-encoding", "connection", "keep-alive", "proxy-connection", "te", "trailer", "upgrade", "expect":
		return true
	}
	return !token(name)
}

// token says whether a name may be that of a field (RFC 9110 section 5.1), in lower case.
func token(name string) bool {
	for i := range len(name) {
		if c := name[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return true
}

// listed says whether a name is among those that are allowed.
func listed(list []*config.StringMatch, name []byte) bool {
	for _, m := range list {
		if route.String(m, name) {
			return true
		}
	}
	return false
}
