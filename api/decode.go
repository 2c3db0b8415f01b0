package api

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/heddle-mesh/heddle/api/diagnosis"
	"google.golang.org/protobuf/proto"
	"k8s.io/apimachinery/pkg/runtime"
)

// Decode reads one object from YAML or JSON. An object with a fatal problem is returned as far as it was understood; its Spec is nil when nothing of it was.
func Decode(yamlOrJSON []byte) (Object, []Problem) {
	objects, problems := DecodeAll(yamlOrJSON, "")
	if len(objects) == 0 {
		if len(problems) == 0 {
			problems = []Problem{{Code: diagnosis.CodeInvalid, Message: "there is no object in this document"}}
		}
		return Object{}, problems
	}
	if len(objects) > 1 {
		problems = append(problems, Problem{Object: objects[1].Ref(), Code: diagnosis.CodeInvalid, Message: "one object was expected and this is another one"})
	}
	return objects[0], problems
}

// DecodeAll reads every object of a stream of YAML documents (JSON included) and of lists within it. Broken documents give Problems; the others are
// returned with those whose Problems are not fatal. file is recorded in the objects and named in sentences about the stream itself.
func DecodeAll(data []byte, file string) ([]Object, []Problem) {
	docs, err := documents(data)
	var objects []Object
	var problems []Problem
	for _, d := range docs {
		for i, fields := range unpack(d.fields) {
			o, ps := FromMap(fields)
			o.Meta.File, o.Meta.Line = file, d.line
			if o.Kind == nil && file != "" {
				where := fmt.Sprintf("%s:%d", file, d.line)
				if i > 0 {
					where += fmt.Sprintf(" (item %d)", i)
				}
				for j := range ps {
					ps[j].Message = where + ": " + ps[j].Message
				}
			}
			problems = append(problems, ps...)
			if o.Kind != nil {
				objects = append(objects, o)
			}
		}
	}
	if err != nil {
		message := err.Error()
		if file != "" {
			message = file + ": " + message
		}
		problems = append(problems, Problem{Code: diagnosis.CodeInvalid, Message: message, Hint: "correct the YAML; documents after this line are not read"})
	}
	return objects, problems
}

// unpack gives the items of a List, or the document itself.
func unpack(fields map[string]any) []map[string]any {
	kind, _ := fields["kind"].(string)
	items, ok := fields["items"].([]any)
	if !ok || !strings.HasSuffix(kind, "List") {
		return []map[string]any{fields}
	}
	out := make([]map[string]any, 0, len(items))
	for _, i := range items {
		m, _ := i.(map[string]any)
		out = append(out, m)
	}
	return out
}

// FromMap reads one object from plain JSON values with int64 for whole numbers, as Kubernetes' unstructured objects hold them. It keeps parts of the map.
func FromMap(m map[string]any) (Object, []Problem) {
	kind, problem := kindOf(m)
	if problem != nil {
		return Object{}, []Problem{*problem}
	}
	o := Object{Kind: kind}
	var f findings
	o.Meta = readMeta(&f, kind, m["metadata"])
	o.Status, _ = m["status"].(map[string]any)
	checkTop(&f, kind, m)
	o.Spec = kind.NewSpec()
	if !hasWrong(f.list) {
		if err := fill(kind, m, o.Spec); err != nil {
			f.wrong("spec", "%v", err)
		} else {
			o.Read = true
		}
	}
	problems := make([]Problem, 0, len(f.list))
	for _, x := range f.list {
		p := Problem{Object: o.Ref(), Field: x.path, Code: diagnosis.CodeInvalid, Message: x.message, Hint: x.hint}
		if x.unknown {
			p.Code = diagnosis.CodeUnknownField
			if kind.whole { // a newer Kubernetes may have more fields than are known here; they are none of the mesh's
				p.Code = diagnosis.CodeNotEnforced
			}
			o.Unknown = append(o.Unknown, x.path)
		}
		problems = append(problems, p)
	}
	return o, problems
}

func hasWrong(list []finding) bool {
	for _, x := range list {
		if !x.unknown && !x.rule {
			return true
		}
	}
	return false
}

func kindOf(m map[string]any) (*Kind, *Problem) {
	apiVersion, _ := m["apiVersion"].(string)
	name, _ := m["kind"].(string)
	group, version, slash := strings.Cut(apiVersion, "/")
	if !slash {
		group, version = GroupCore, apiVersion
	}
	p := &Problem{Object: Ref{Group: group, Kind: name}, Code: diagnosis.CodeUnsupported}
	if meta, ok := m["metadata"].(map[string]any); ok {
		ns, _ := meta["namespace"].(string)
		n, _ := meta["name"].(string)
		p.Object.Namespace, p.Object.Name = Namespace(ns), n
	}
	switch {
	case name == "" || apiVersion == "":
		p.Code, p.Message, p.Hint = diagnosis.CodeInvalid, "apiVersion and kind are missing", "every object begins with both"
		return nil, p
	case Find(group, name) == nil:
		p.Message = fmt.Sprintf("%s of %s is not a kind that Heddle reads; it has no effect", name, apiVersion)
		return nil, p
	}
	k := Find(group, name)
	if !k.accepts(version) {
		p.Message = fmt.Sprintf("version %s of %s is not read", version, k.Name())
		p.Hint = "write apiVersion: " + k.APIVersion()
		return nil, p
	}
	return k, nil
}

func readMeta(f *findings, k *Kind, v any) Meta {
	m, ok := v.(map[string]any)
	if !ok {
		f.wrong("metadata", "metadata is missing")
		return Meta{}
	}
	text := func(name string) string {
		s, ok := m[name].(string)
		if !ok && m[name] != nil {
			f.wrong("metadata."+name, "want a string, not %s", typeName(m[name]))
		}
		return s
	}
	meta := Meta{Name: text("name"), Namespace: text("namespace"), UID: text("uid"), ResourceVersion: text("resourceVersion"),
		Labels: textMap(f, m, "labels"), Annotations: textMap(f, m, "annotations")}
	meta.Generation, _ = m["generation"].(int64)
	if s := text("creationTimestamp"); s != "" {
		t, err := time.Parse(time.RFC3339, s)
		if err != nil {
			f.wrong("metadata.creationTimestamp", "%q is not a time such as 2026-01-02T15:04:05Z", s)
		}
		meta.Created = t
	}
	if meta.Name == "" {
		f.wrong("metadata.name", "the object has no name")
	}
	switch {
	case k.Namespaced && meta.Namespace == "":
		meta.Namespace = "default"
	case !k.Namespaced:
		meta.Namespace = ""
	}
	return meta
}

func textMap(f *findings, m map[string]any, name string) map[string]string {
	v, ok := m[name].(map[string]any)
	if !ok {
		if m[name] != nil {
			f.wrong("metadata."+name, "want an object of key and value, not %s", typeName(m[name]))
		}
		return nil
	}
	out := make(map[string]string, len(v))
	for _, k := range sortedKeys(v) {
		s, ok := v[k].(string)
		if !ok {
			f.add(finding{path: keyed("metadata."+name, k), message: "want a string, not " + typeName(v[k]), hint: quoteHint(v[k])})
		}
		out[k] = s
	}
	return out
}

// checkTop compares everything but metadata and status with the kind's schema.
func checkTop(f *findings, k *Kind, m map[string]any) {
	if k.whole {
		body := withoutMeta(m)
		checkStruct(f, k.spec, body, "")
		return
	}
	for _, key := range sortedKeys(m) {
		switch key {
		case "apiVersion", "kind", "metadata", "status", "spec":
		default:
			f.unknown(key, key, []string{"metadata", "spec", "status"})
		}
	}
	spec, ok := m["spec"].(map[string]any)
	if !ok {
		if m["spec"] != nil {
			f.wrong("spec", "want an object, not %s", typeName(m["spec"]))
		} else if specRequired[k.Kind] {
			f.broken("spec", bad("give it", "spec is missing"))
		}
		return
	}
	if msg, ok := reflect.New(k.spec).Interface().(proto.Message); ok {
		checkMessage(f, msg.ProtoReflect().Descriptor(), spec, "spec")
		if k.Kind == "WorkloadEntry" {
			if x := reachable(spec); !x.none() {
				f.broken("spec.address", x)
			}
		}
		return
	}
	checkStruct(f, k.spec, spec, "spec")
}

func withoutMeta(m map[string]any) map[string]any {
	body := make(map[string]any, len(m))
	for k, v := range m {
		if k != "metadata" && k != "status" {
			body[k] = v
		}
	}
	return body
}

// fill decodes the checked document into the typed spec.
func fill(k *Kind, m map[string]any, into any) error {
	if k.whole {
		return runtime.DefaultUnstructuredConverter.FromUnstructured(m, into)
	}
	spec, ok := m["spec"].(map[string]any)
	if !ok {
		return nil
	}
	if _, ok := into.(proto.Message); !ok {
		return runtime.DefaultUnstructuredConverter.FromUnstructured(spec, into)
	}
	// Istio's messages read JSON themselves; their reader takes durations such as 5m, which the canonical protobuf JSON form does not.
	data, err := json.Marshal(spec)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, into)
}

// Maps gives the plain values of every document of a text, whatever its kind, as far as the text can be read.
func Maps(data []byte) (out []map[string]any) {
	docs, _ := documents(data)
	for _, d := range docs {
		out = append(out, unpack(d.fields)...)
	}
	return out
}
