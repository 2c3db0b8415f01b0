package admin

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"

	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
)

// configDump is Envoy's admin.v3.ConfigDump with the resources as they were received.
//
// resource chooses one list, such as dynamic_listeners, or all of a kind, such as listeners; mask leaves the fields that it names; name_regex leaves the resources whose names match.
func (s *Server) configDump(w http.ResponseWriter, r *http.Request) {
	only, mask := r.FormValue("resource"), r.FormValue("mask")
	name, err := regexp.Compile(r.FormValue("name_regex"))
	if err != nil {
		http.Error(w, fmt.Sprintf("Error while parsing name_regex from %s: %v", r.FormValue("name_regex"), err), http.StatusBadRequest)
		return
	}
	_, eds := r.URL.Query()["include_eds"]
	parts := []struct {
		name string
		dump func() proto.Message
		skip bool
	}{
		{"bootstrap", s.dumpBootstrap, false}, {"clusters", s.dumpClusters, false}, {"endpoints", s.dumpEndpoints, !eds}, {"listeners", s.dumpListeners, false},
		{"scoped_routes", func() proto.Message { return &adminv3.ScopedRoutesConfigDump{} }, false}, {"routes", s.dumpRoutes, false}, {"secrets", s.dumpSecrets, false},
	}
	var out []proto.Message
	found := false
	for _, p := range parts {
		m := p.dump()
		list := m.ProtoReflect().Descriptor().Fields().ByName(protoreflect.Name(only))
		switch {
		case only == "" && !p.skip, only == p.name:
			found = true
			if selectNames(m, name); mask == "" || trim(m.ProtoReflect(), mask) {
				out = append(out, m)
			}
		case list != nil && list.IsList() && !p.skip:
			found = true
			selectNames(m, name)
			elements := m.ProtoReflect().Get(list).List()
			for i := range elements.Len() {
				if e := elements.Get(i).Message(); mask == "" || trim(e, mask) {
					out = append(out, e.Interface())
				}
			}
		}
	}
	switch {
	case !found:
		http.Error(w, only+" not found in config dump", http.StatusNotFound)
		return
	case mask != "" && len(out) == 0:
		http.Error(w, "FieldMask "+mask+" could not be successfully applied to any configs.", http.StatusBadRequest)
		return
	}
	dump := &adminv3.ConfigDump{}
	for _, m := range out {
		a, err := anypb.New(m)
		if err != nil {
			problemJSON(w, http.StatusInternalServerError, err)
			return
		}
		dump.Configs = append(dump.Configs, a)
	}
	message(w, dump)
}

// selectNames leaves the elements of the lists of a dump whose resource has a name that matches.
func selectNames(m proto.Message, name *regexp.Regexp) {
	if name.String() == "" {
		return
	}
	r := m.ProtoReflect()
	r.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if !f.IsList() || f.Message() == nil {
			return true
		}
		kept := r.NewField(f)
		for i := range v.List().Len() {
			if e := v.List().Get(i); name.MatchString(nameOf(e.Message())) {
				kept.List().Append(e)
			}
		}
		r.Set(f, kept)
		return true
	})
}

// nameOf is the name of a resource, which stands in it or in an Any of it.
func nameOf(m protoreflect.Message) (name string) {
	for _, key := range []protoreflect.Name{"name", "cluster_name"} {
		if f := m.Descriptor().Fields().ByName(key); f != nil && f.Kind() == protoreflect.StringKind && m.Has(f) {
			return m.Get(f).String()
		}
	}
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if f.Message() == nil || f.IsList() || f.IsMap() {
			return true
		}
		if a, ok := v.Message().Interface().(*anypb.Any); ok {
			if inner, err := a.UnmarshalNew(); err == nil {
				name = nameOf(inner.ProtoReflect())
			}
		} else if f.Name() == "active_state" || f.Name() == "warming_state" {
			name = nameOf(v.Message())
		}
		return name == ""
	})
	return name
}

// trim leaves the fields that a mask names ("a,b.c"), also those of messages in an Any. It says whether all of them are fields.
func trim(m protoreflect.Message, mask string) bool {
	below := map[protoreflect.Name][]string{}
	for path := range strings.SplitSeq(mask, ",") {
		first, rest, _ := strings.Cut(strings.TrimSpace(path), ".")
		f := m.Descriptor().Fields().ByName(protoreflect.Name(first))
		if f == nil {
			return false
		}
		below[f.Name()] = append(below[f.Name()], rest)
	}
	good := true
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		rest, named := below[f.Name()]
		deeper := strings.Join(rest, ",")
		switch {
		case !named:
			m.Clear(f)
		case strings.Trim(deeper, ",") == "" || f.Message() == nil || f.IsMap():
		case f.IsList():
			for i := range v.List().Len() {
				good = trimInner(v.List().Get(i).Message(), deeper) && good
			}
		default:
			good = trimInner(v.Message(), deeper) && good
		}
		return true
	})
	return good
}

func trimInner(m protoreflect.Message, mask string) bool {
	a, ok := m.Interface().(*anypb.Any)
	if !ok {
		return trim(m, mask)
	}
	inner, err := a.UnmarshalNew()
	if err != nil || !trim(inner.ProtoReflect(), mask) {
		return false
	}
	return a.MarshalFrom(inner) == nil
}
