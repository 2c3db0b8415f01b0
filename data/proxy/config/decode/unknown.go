package decode

import (
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// unknown reports, with their paths, keys of a JSON tree that its message does not have. protojson refuses them too, but only the first, and without a path.
func (p *problems) unknown(path string, tree any, d protoreflect.MessageDescriptor) {
	object, ok := tree.(map[string]any)
	if !ok || strings.HasPrefix(string(d.FullName()), "google.protobuf.") && d.FullName() != "google.protobuf.Any" {
		return // well-known types have forms of their own
	}
	if d.FullName() == "google.protobuf.Any" {
		p.unknownAny(path, object)
		return
	}
	for _, key := range slices.Sorted(maps.Keys(object)) {
		f := d.Fields().ByJSONName(key)
		if f == nil {
			f = d.Fields().ByTextName(key)
		}
		if f == nil {
			p.add(join(path, key), "%s has no such field", d.FullName())
			continue
		}
		p.unknownField(join(path, string(f.Name())), object[key], f)
	}
}

func (p *problems) unknownField(path string, v any, f protoreflect.FieldDescriptor) {
	switch {
	case f.IsMap():
		if m, ok := v.(map[string]any); ok && f.MapValue().Message() != nil {
			for _, k := range slices.Sorted(maps.Keys(m)) {
				p.unknown(path+"[\""+k+"\"]", m[k], f.MapValue().Message())
			}
		}
	case f.Message() == nil:
	case f.IsList():
		list, _ := v.([]any)
		for i, e := range list {
			p.unknown(path+indexed(i), e, f.Message())
		}
	default:
		p.unknown(path, v, f.Message())
	}
}

func (p *problems) unknownAny(path string, object map[string]any) {
	url, _ := object["@type"].(string)
	name := protoreflect.FullName(url[strings.LastIndexByte(url, '/')+1:])
	t, err := protoregistry.GlobalTypes.FindMessageByName(name)
	if err != nil {
		p.add(path, "%s is not supported", short(name))
		return
	}
	rest := maps.Clone(object)
	delete(rest, "@type")
	p.unknown(path, rest, t.Descriptor())
}
