package api

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"sigs.k8s.io/yaml"
)

// TestRules: each object of the fixtures is judged as its section says. The API server's schemas judge the same files in apiserver/schemas.
func TestRules(t *testing.T) {
	files, _ := filepath.Glob("testdata/rules/*.txtar")
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, section := range a.Files {
			objects, problems := DecodeAll(section.Data, "")
			if len(objects) == 0 {
				t.Errorf("%s %s: no object: %v", file, section.Name, problems)
			}
			for _, o := range objects {
				if !o.Read && section.Name != "spec" && !strings.Contains(problems[0].Message, "want a whole number") && !slices.ContainsFunc(problems, oneofProblem) {
					t.Errorf("%s %s: %s was not read: %v", file, section.Name, o.Ref(), problems)
				}
			}
			for i := range strings.Split(string(section.Data), "\n---\n") {
				one := strings.Split(string(section.Data), "\n---\n")[i]
				_, problems := Decode([]byte(one))
				at := func(p Problem) bool {
					return p.Field == section.Name || oneofProblem(p) && strings.HasPrefix(p.Field, section.Name)
				}
				if section.Name == "ok" && len(problems) > 0 || section.Name != "ok" && !slices.ContainsFunc(problems, at) || len(problems) > 2 {
					t.Errorf("%s %s: %v in\n%s", file, section.Name, problems, one)
				}
			}
		}
	}
}

// oneofProblem says whether a problem is that of two fields of which one may be given; it names one of the two.
func oneofProblem(p Problem) bool { return strings.HasPrefix(p.Message, "only one of") }

// definition is what the test reads of a CustomResourceDefinition.
type definition struct {
	Spec struct {
		Group    string
		Names    struct{ Kind string }
		Versions []struct {
			Name   string
			Schema struct{ OpenAPIV3Schema schema }
		}
	}
}

type schema struct {
	Properties           map[string]schema
	Items                *schema
	AdditionalProperties any
	Required             []string
	MinLength, MaxLength *int
	MinItems, MaxItems   *int
	MaxProperties        *int
	Minimum, Maximum     *float64
}

// TestDefinitions: whatever bound the definitions of Istio's module set, an object that breaks it is refused at that field, and one at the bound is not.
func TestDefinitions(t *testing.T) {
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "istio.io/api").Output()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "kubernetes", "customresourcedefinitions.gen.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, doc := range strings.Split(string(data), "\n---\n") {
		var d definition
		if err := yaml.Unmarshal([]byte(doc), &d); err != nil {
			t.Fatal(err)
		}
		k := Find(d.Spec.Group, d.Spec.Names.Kind)
		if k == nil {
			t.Errorf("kind %s of %s is not in the table of kinds", d.Spec.Names.Kind, d.Spec.Group)
			continue
		}
		root := k.NewSpec().(proto.Message).ProtoReflect().Descriptor()
		c := bounds{t: t, kind: k, root: root, judged: map[string]bool{}}
		for _, v := range d.Spec.Versions {
			c.walk(v.Schema.OpenAPIV3Schema.Properties["spec"], nil)
		}
		checked += len(c.judged)
	}
	if checked < 300 {
		t.Errorf("only %d bounds were found in the definitions", checked)
	}
}

// bounds tries every bound of one kind's definition.
type bounds struct {
	t      *testing.T
	kind   *Kind
	root   protoreflect.MessageDescriptor
	judged map[string]bool
}

func (b *bounds) walk(s schema, path []string) {
	for _, name := range s.Required {
		b.try(path, map[string]any{}, name, "required", true)
	}
	text := func(n int) any { return strings.Repeat("a", n) }
	list := func(n int) any { return make([]any, n) }
	table := func(n int) any {
		m := map[string]any{}
		for i := range n {
			m[strings.Repeat("a", i%200+1)+strings.Repeat("b", i/200)] = "c"
		}
		return m
	}
	for _, bound := range []struct {
		limit *int
		of    func(int) any
		step  int
		name  string
	}{{s.MinLength, text, -1, "minLength"}, {s.MaxLength, text, 1, "maxLength"}, {s.MinItems, list, -1, "minItems"}, {s.MaxItems, list, 1, "maxItems"}, {s.MaxProperties, table, 1, "maxProperties"}} {
		if bound.limit != nil {
			b.try(path, bound.of(*bound.limit+bound.step), "", bound.name, true)
			b.try(path, bound.of(*bound.limit), "", bound.name, false)
		}
	}
	if s.Minimum != nil {
		b.try(path, *s.Minimum-1, "", "minimum", true)
	}
	if s.Maximum != nil {
		b.try(path, *s.Maximum+1, "", "maximum", true)
	}
	for _, name := range sortedKeys(s.Properties) {
		b.walk(s.Properties[name], append(slices.Clone(path), name))
	}
	if s.Items != nil {
		b.walk(*s.Items, append(slices.Clone(path), "[]"))
	}
	if more, ok := s.AdditionalProperties.(map[string]any); ok {
		raw, _ := yaml.Marshal(more)
		var values schema
		if err := yaml.Unmarshal(raw, &values); err != nil {
			b.t.Fatal(err)
		}
		b.walk(values, append(slices.Clone(path), "{}"))
	}
}

// try puts a value at a path of an otherwise empty spec.
func (b *bounds) try(path []string, v any, field, name string, refused bool) {
	at := "spec"
	value := v
	for i := len(path) - 1; i >= 0; i-- {
		switch path[i] {
		case "[]":
			value = []any{value}
		case "{}":
			value = map[string]any{"80": value}
		default:
			value = map[string]any{path[i]: value}
		}
	}
	for _, p := range path {
		switch p {
		case "[]":
			at += "[0]"
		case "{}":
			at += `["80"]`
		default:
			at += "." + p
		}
	}
	if field != "" {
		at += "." + field
	}
	spec, ok := value.(map[string]any)
	if !ok {
		b.t.Fatalf("%s: %v", at, path)
	}
	var f findings
	checkMessage(&f, b.root, spec, "spec")
	found := slices.ContainsFunc(f.list, func(x finding) bool { return x.path == at })
	b.judged[at+name] = true
	if found != refused && (refused || slices.ContainsFunc(f.list, func(x finding) bool { return x.path == at && strings.Contains(x.message, "allowed") })) {
		b.t.Errorf("%s %s: %s: refused %v, want %v", b.kind.Kind, at, name, found, refused)
	}
}

// TestRulesByProtoName: a field may have its name of the schema, as in files that no API server has seen; the rules hold for it, and speak of it by that name.
func TestRulesByProtoName(t *testing.T) {
	for text, want := range map[string]string{
		`networking.istio.io/v1 VirtualService {hosts: [a], tls: [{match: [{sni_hosts: [a]}], route: [{destination: {host: a}}]}]}`:          "",
		`security.istio.io/v1 PeerAuthentication {selector: {match_labels: {a: b}}, port_level_mtls: {"80": {mode: STRICT}}}`:                "",
		`security.istio.io/v1 PeerAuthentication {port_level_mtls: {"80": {mode: STRICT}}}`:                                                  "spec.port_level_mtls",
		`security.istio.io/v1 PeerAuthentication {selector: {matchLabels: {a: b}}, port_level_mtls: {"0": {mode: STRICT}}}`:                  `spec.port_level_mtls["0"]`,
		`networking.istio.io/v1 DestinationRule {host: a, traffic_policy: {connection_pool: {http: {idle_timeout: 0s}}}}`:                    "spec.traffic_policy.connection_pool.http.idle_timeout",
		`networking.istio.io/v1 VirtualService {hosts: [a], tls: [{match: [{sni_hosts: null}], route: [{destination: {host: a}}]}]}`:         "spec.tls[0].match[0].sniHosts",
		`networking.istio.io/v1 VirtualService {hosts: [a], exportTo: ["*"], export_to: ["."], http: [{route: [{destination: {host: a}}]}]}`: "spec.export_to",
	} {
		apiVersion, rest, _ := strings.Cut(text, " ")
		k, spec, _ := strings.Cut(rest, " ")
		_, problems := Decode([]byte("apiVersion: " + apiVersion + "\nkind: " + k + "\nmetadata: {name: a}\nspec: " + spec))
		if (want == "") != (len(problems) == 0) || want != "" && !slices.ContainsFunc(problems, func(p Problem) bool { return p.Field == want }) {
			t.Errorf("%s: %v, want %q", text, problems, want)
		}
	}
}
