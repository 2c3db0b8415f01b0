// Package headers edits header fields as routes, virtual hosts and route tables ask for.
//
// In: edits of several levels, a head, and what formats may refer to. Out: the head, changed. Pure; a head belongs to its worker.
package headers

import (
	"github.com/heddle-mesh/heddle/data/proxy/accesslog"
	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/config"
)

// Request edits a request by one level: what is removed goes first (Envoy's HeaderParser).
func Request(h *codec.Head, e *config.HeaderEdits, facts func() *accesslog.Record) {
	edit(&h.Fields, e.Request, e.RequestRemove, facts)
}

// Response edits a response by one level.
func Response(h *codec.Head, e *config.HeaderEdits, facts func() *accesslog.Record) {
	edit(&h.Fields, e.Response, e.ResponseRemove, facts)
}

func edit(f *codec.Fields, set []config.HeaderSet, remove []string, facts func() *accesslog.Record) {
	for _, name := range remove {
		if protected(name) {
			continue
		}
		f.Del(codec.MakeName(name))
	}
	for i := range set {
		s := &set[i]
		if protected(s.Name) {
			continue
		}
		apply(f, s, value(s, facts))
	}
}

func apply(f *codec.Fields, s *config.HeaderSet, v string) {
	if v == "" && !s.KeepEmpty {
		return
	}
	n := codec.MakeName(s.Name)
	switch s.Action {
	case config.AppendOrAdd:
		f.AddString(n, v)
	case config.AddIfAbsent:
		if !f.Has(n) {
			f.AddString(n, v)
		}
	case config.OverwriteOrAdd:
		f.SetString(n, v)
	case config.OverwriteIfExists:
		if f.Has(n) {
			f.SetString(n, v)
		}
	}
}

func value(s *config.HeaderSet, facts func() *accesslog.Record) string {
	format, ok := s.Format.(*accesslog.Format)
	if !ok {
		return s.Value
	}
	r := facts()
	r.Raw = true
	b := format.Append(nil, r)
	for len(b) > 0 && (b[len(b)-1] == '\n' || b[len(b)-1] == '\r') {
		b = b[:len(b)-1]
	}
	if string(b) == "-" {
		return "" // the format's way to say that there is no value
	}
	return string(b)
}

// protected are names that frame or route a message; they are changed by rewrites only.
func protected(name string) bool {
	return name == "" || name[0] == ':' || name == "host" || name == "content-length" || name == "transfer-encoding" || name == "connection" || name == "upgrade"
}
