package interop_test

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
	"google.golang.org/protobuf/encoding/protojson"
	meshconfig "istio.io/api/mesh/v1alpha1"
	networking "istio.io/api/networking/v1beta1"
	"sigs.k8s.io/yaml"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/config/settings"
	"github.com/heddle-mesh/heddle/control/inject"
	"github.com/heddle-mesh/heddle/control/inject/manifest"
	"github.com/heddle-mesh/heddle/control/translate/text"
	closed "github.com/heddle-mesh/heddle/control/translate/world"
	"github.com/heddle-mesh/heddle/mesh"
	"github.com/heddle-mesh/heddle/test/ledger"
)

// archives gives the goldens of a folder, by the name under which the ledger has them.
func archives(t *testing.T, folder string) map[string]*txtar.Archive {
	t.Helper()
	files, err := filepath.Glob("../../" + folder + "*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no goldens in ", folder, err)
	}
	out := map[string]*txtar.Archive{}
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		must(t, err)
		out[folder+strings.TrimSuffix(filepath.Base(file), ".txtar")] = a
	}
	return out
}

// settingsExhibits are the goldens of MeshConfig.
func settingsExhibits(t *testing.T) (out []exhibit) {
	for name, a := range archives(t, "control/config/settings/testdata/") {
		for i := 0; i < len(a.Files); i += 2 {
			e := exhibit{name: name, want: string(a.Files[i+1].Data), judge: func(_ []map[string]any, config map[string]any) verdict {
				s, problems, err := settings.Parse(marshal(config))
				return verdict{text.Settings(s, problems, err), err != nil}
			}}
			must(t, yaml.Unmarshal(a.Files[i].Data, &e.config))
			if _, problems, err := settings.Parse(a.Files[i].Data); err == nil {
				e.told = problems
			} else if field, why, ok := strings.Cut(strings.TrimPrefix(err.Error(), "field "), " "); ok && strings.Contains(why, "not enforced yet") {
				e.told = []mesh.Problem{{Field: field, Code: mesh.CodeNotEnforced, Message: "the control plane does not start with it: " + why}}
			} else {
				continue // what is wrong is no proof of what a right one does
			}
			out = append(out, e)
		}
	}
	return out
}

// networksExhibits is the golden of MeshNetworks.
func networksExhibits(t *testing.T) (out []exhibit) {
	for name, a := range archives(t, "control/config/settings/testdata/networks/") {
		for i := 0; i < len(a.Files); i += 2 {
			e := exhibit{name: name, about: ledger.MeshNetworks, want: string(a.Files[i+1].Data), judge: func(_ []map[string]any, config map[string]any) verdict {
				problems, err := settings.ParseNetworks(marshal(config))
				return verdict{text.Told(problems, err), err != nil}
			}}
			must(t, yaml.Unmarshal(a.Files[i].Data, &e.config))
			problems, err := settings.ParseNetworks(a.Files[i].Data)
			if e.told = problems; err == nil {
				out = append(out, e)
			}
		}
	}
	return out
}

func marshal(m map[string]any) []byte {
	if len(m) == 0 {
		return nil
	}
	raw, err := yaml.Marshal(m)
	if err != nil {
		panic(err)
	}
	return raw
}

// without is what injection says of a label or annotation that it does not honour.
var without = regexp.MustCompile(`metadata\.(labels|annotations)\[([^\]]*)\] has no effect: (.*)`)

// injectedExhibits are the goldens of injection: a pod, ProxyConfigs and the mesh's defaultConfig in, the pod with its proxy out.
func injectedExhibits(t *testing.T) (out []exhibit) {
	for name, a := range archives(t, "control/inject/manifest/testdata/") {
		part := map[string]string{}
		for _, f := range a.Files {
			part[f.Name] = string(f.Data)
		}
		if strings.Contains(part["told"], "error: ") {
			continue
		}
		c, err := inject.ParseConfig([]byte(part["config.yaml"]))
		must(t, err)
		pods := len(documents(t, part["in.yaml"]))
		e := exhibit{name: name, objects: documents(t, part["in.yaml"]+"\n---\n"+part["objects.yaml"])}
		var proxies map[string]any
		must(t, yaml.Unmarshal([]byte(part["mesh.yaml"]), &proxies))
		if proxies != nil {
			e.config = map[string]any{"defaultConfig": proxies}
		}
		e.judge = func(objects []map[string]any, config map[string]any) verdict {
			return injected(&inject.Settings{Config: c, Namespace: "istio-system", RootNamespace: "istio-system", TrustDomain: "cluster.local", ClusterID: "east"}, objects[:pods], objects[pods:], config)
		}
		for _, m := range without.FindAllStringSubmatch(part["told"], -1) {
			e.told = append(e.told, mesh.Problem{Field: "metadata." + m[1] + `["` + m[2] + `"]`, Code: mesh.CodeNotEnforced, Message: m[3]})
		}
		out = append(out, e)
	}
	return out
}

// injected is what becomes of pods, but for the labels and annotations that they had, and what is said.
func injected(s *inject.Settings, pods, configs []map[string]any, config map[string]any) verdict {
	s.Mesh = &meshconfig.ProxyConfig{}
	if proxies, ok := config["defaultConfig"].(map[string]any); ok {
		raw, err := yaml.YAMLToJSON(marshal(proxies))
		if err == nil {
			err = protojson.Unmarshal(raw, s.Mesh)
		}
		if err != nil {
			return verdict{err.Error(), true}
		}
	}
	objects, _ := api.DecodeAll(stream(configs), "objects.yaml")
	for _, o := range objects {
		s.ProxyConfigs = append(s.ProxyConfigs, inject.ProxyConfig{Namespace: o.Meta.Namespace, Name: o.Meta.Name, Spec: o.Spec.(*networking.ProxyConfig)})
	}
	var say strings.Builder
	n := manifest.Injector{Settings: s, Namespace: "shop", Tell: func(text string) { say.WriteString(text + "\n") }}
	raw, err := n.Inject(stream(pods))
	if err != nil {
		return verdict{err.Error(), true}
	}
	var out map[string]any
	if err := yaml.Unmarshal(raw, &out); err != nil {
		return verdict{text: string(raw) + say.String()}
	}
	for _, set := range []string{"labels", "annotations"} {
		before, _ := pods[0]["metadata"].(map[string]any)
		own, _ := before[set].(map[string]any)
		if after, ok := out["metadata"].(map[string]any)[set].(map[string]any); ok {
			for key := range own {
				delete(after, key)
			}
		}
	}
	return verdict{text: string(marshal(out)) + say.String()}
}

// marksExhibits is the golden of labels and annotations.
func marksExhibits(t *testing.T) (out []exhibit) {
	for name, a := range archives(t, "control/translate/testdata/") {
		defaults := &mesh.Settings{TrustDomain: "cluster.local", RootNamespace: mesh.RootNamespace, ClusterDomain: "cluster.local"}
		judge := func(objects []map[string]any, _ map[string]any) verdict {
			told, _ := closed.Marks(defaults, stream(objects))
			var b strings.Builder
			for _, p := range told {
				b.WriteString(p.String() + "\n")
			}
			return verdict{text: b.String()}
		}
		e := exhibit{name: name, want: string(a.Files[1].Data), objects: documents(t, string(a.Files[0].Data)), judge: judge}
		e.told, _ = closed.Marks(defaults, a.Files[0].Data)
		out = append(out, e)
	}
	return out
}
