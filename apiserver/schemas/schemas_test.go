package schemas

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	apiext "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structural "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/yaml"
)

// judge is what the API server makes of one version of a definition.
type judge struct {
	schema *structural.Structural
	types  validation.SchemaValidator
	rules  *cel.Validator
}

// judges reads the definitions of Istio's module, by apiVersion and kind.
func judges(t *testing.T) map[string]judge {
	t.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "istio.io/api").Output()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "kubernetes", "customresourcedefinitions.gen.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]judge{}
	for _, doc := range strings.Split(string(data), "\n---\n") {
		var crd apiextv1.CustomResourceDefinition
		if err := yaml.Unmarshal([]byte(doc), &crd); err != nil {
			t.Fatal(err)
		}
		for _, v := range crd.Spec.Versions {
			var inner apiext.JSONSchemaProps
			if err := apiextv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(v.Schema.OpenAPIV3Schema, &inner, nil); err != nil {
				t.Fatal(err)
			}
			var j judge
			if j.schema, err = structural.NewStructural(&inner); err != nil {
				t.Fatal(err)
			}
			if j.types, _, err = validation.NewSchemaValidator(&inner); err != nil {
				t.Fatal(err)
			}
			j.rules = cel.NewValidator(j.schema, true, celconfig.PerCallLimit)
			out[crd.Spec.Group+"/"+v.Name+" "+crd.Spec.Names.Kind] = j
		}
	}
	return out
}

func (j judge) errors(t *testing.T, object map[string]any) field.ErrorList {
	t.Helper()
	errs := validation.ValidateCustomResource(nil, object, j.types)
	errs = append(errs, listtype.ValidateListSetsAndMaps(nil, j.schema, object)...)
	found, _ := j.rules.Validate(context.Background(), nil, j.schema, object, nil, celconfig.RuntimeCELCostBudget)
	return append(errs, found...)
}

// TestRules: what the fixtures of the root module call wrong is refused by the definitions too, and what they call right is not; and no rule of the
// definitions is left without a fixture that breaks it.
func TestRules(t *testing.T) {
	all := judges(t)
	files, err := filepath.Glob("../../api/testdata/rules/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no fixtures", err)
	}
	var broken []string
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, section := range strings.Split("\n"+string(data), "\n-- ")[1:] {
			name, body, _ := strings.Cut(section, " --\n")
			for _, doc := range strings.Split(body, "\n---\n") {
				var object map[string]any
				raw, err := yaml.YAMLToJSON([]byte(doc))
				if err == nil {
					err = json.Unmarshal(raw, &object)
				}
				if err != nil {
					t.Fatal(err)
				}
				j, ok := all[object["apiVersion"].(string)+" "+object["kind"].(string)]
				if !ok {
					t.Fatalf("%s %s: no definition", file, name)
				}
				errs := j.errors(t, object)
				if (name == "ok") != (len(errs) == 0) {
					t.Errorf("%s %s: %v in\n%s", filepath.Base(file), name, errs, doc)
				}
				for _, e := range errs {
					broken = append(broken, e.Detail)
				}
			}
		}
	}
	for version, j := range all {
		for _, message := range messages(j.schema) {
			if !slices.ContainsFunc(broken, func(detail string) bool { return strings.Contains(detail, message) }) {
				t.Errorf("%s: no fixture of api/testdata/rules breaks the rule %q", version, message)
			}
		}
	}
}

// messages are those of all rules below a schema.
func messages(s *structural.Structural) (out []string) {
	for _, r := range s.XValidations {
		out = append(out, r.Message)
	}
	for _, p := range s.Properties {
		out = append(out, messages(&p)...)
	}
	if s.Items != nil {
		out = append(out, messages(s.Items)...)
	}
	if s.AdditionalProperties != nil && s.AdditionalProperties.Structural != nil {
		out = append(out, messages(s.AdditionalProperties.Structural)...)
	}
	return out
}
