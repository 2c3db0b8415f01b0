// Package golden shows xDS resources to people: as YAML, whole or the part at a path, so that fixtures hold what matters of them.
//
// In: encoded resources. Out: text that is the same for the same resource. Pure; the types in the resources must be linked into the program.
package golden

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"sigs.k8s.io/yaml"

	"github.com/heddle-mesh/heddle/xds"
	"github.com/heddle-mesh/heddle/xds/nds"
)

// Types are the short names of resource types in fixtures.
var Types = map[string]string{
	"cds": xds.Cluster, "eds": xds.Endpoints, "lds": xds.Listener, "rds": xds.Route, "vhds": xds.VirtualHost, "sds": xds.Secret, "nds": xds.NameTable, "ecds": xds.Extension,
}

// Show is a resource as YAML, or the part of it at a path such as virtualHosts.0.domains; "*" in a path is every element of a list, "" is the whole.
func Show(r *xds.Resource, path string) (string, error) {
	var value any
	if r.Name.TypeURL == xds.NameTable {
		table, err := nds.Unmarshal(r.Body)
		if err != nil {
			return "", err
		}
		value = table
	} else {
		m, err := Decode(r)
		if err != nil {
			return "", err
		}
		if err := json.Unmarshal([]byte(protojson.Format(m)), &value); err != nil {
			return "", fmt.Errorf("read %s: %w", r.Name, err)
		}
	}
	if path != "" {
		if value = at(value, strings.Split(path, ".")); nothing(value) {
			return "", fmt.Errorf("%s has nothing at %s", r.Name, path)
		}
	}
	out, err := yaml.Marshal(value)
	return string(out), err
}

// Decode is a resource as the message that it encodes.
func Decode(r *xds.Resource) (proto.Message, error) {
	name := protoreflect.FullName(r.Name.TypeURL[strings.LastIndexByte(r.Name.TypeURL, '/')+1:])
	mt, err := protoregistry.GlobalTypes.FindMessageByName(name)
	if err != nil {
		return nil, fmt.Errorf("decode %s: %w", r.Name, err)
	}
	m := mt.New().Interface()
	if err := proto.Unmarshal(r.Body, m); err != nil {
		return nil, fmt.Errorf("decode %s: %w", r.Name, err)
	}
	return m, nil
}

// nothing says whether a path led nowhere: such a line in a fixture would prove nothing.
func nothing(v any) bool {
	if list, ok := v.([]any); ok {
		return !slices.ContainsFunc(list, func(x any) bool { return !nothing(x) })
	}
	return v == nil
}

// at follows a path of field names and indices.
func at(value any, path []string) any {
	for i, key := range path {
		switch v := value.(type) {
		case map[string]any:
			if key == "*" { // the keys of some maps have dots
				var all []any
				for _, k := range slices.Sorted(maps.Keys(v)) {
					all = append(all, at(v[k], path[i+1:]))
				}
				return all
			}
			value = v[key]
		case []any:
			if key == "*" {
				all := make([]any, len(v))
				for j := range v {
					all[j] = at(v[j], path[i+1:])
				}
				return all
			}
			n, err := strconv.Atoi(key)
			if err != nil || n >= len(v) {
				return nil
			}
			value = v[n]
		}
	}
	return value
}
