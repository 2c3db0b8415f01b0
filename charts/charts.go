// Package charts holds Heddle's Helm chart and renders it with Helm's own engine, so that `heddle install` and `helm install` apply the same objects.
//
// In: a profile and values. Out: objects in the order in which they are to be applied. It asks no cluster.
package charts

import (
	"cmp"
	"embed"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/loader/archive"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

//go:embed all:heddle
var files embed.FS

// Release is what an installation is rendered from.
type Release struct {
	Name, Namespace string
	Profile         string         // default, minimal or demo; "" is default
	Values          map[string]any // count more than those of the profile
	Version         string         // of the images, unless the values have a tag; "" is the chart's
	Kubernetes      string         // version of the cluster, such as v1.36.3; "" is the newest that Helm knows
}

// Rendered is what an installation consists of.
type Rendered struct {
	Definitions []*unstructured.Unstructured // CustomResourceDefinitions, which come first
	Elsewhere   bool                         // what users configure is in another API, which has the definitions
	Objects     []*unstructured.Unstructured // in the order in which they are applied
	Notes       string
}

// Profiles are the names that a Release may have.
func Profiles() (names []string) {
	found, _ := fs.Glob(files, "heddle/profiles/*.yaml") // the pattern is right
	for _, f := range found {
		names = append(names, strings.TrimSuffix(path.Base(f), ".yaml"))
	}
	return names
}

// Render makes the objects of a release. A value that the chart does not know is a mistake.
func Render(r Release) (*Rendered, error) {
	c, err := load()
	if err != nil {
		return nil, fmt.Errorf("read the chart: %w", err)
	}
	if r.Version != "" {
		c.Metadata.AppVersion = r.Version
	}
	values, err := r.values()
	if err != nil {
		return nil, err
	}
	capabilities := common.DefaultCapabilities.Copy()
	if r.Kubernetes != "" {
		version, err := common.ParseKubeVersion(r.Kubernetes)
		if err != nil {
			return nil, fmt.Errorf("version of Kubernetes %q: %w", r.Kubernetes, err)
		}
		capabilities.KubeVersion = *version
	}
	all, err := util.ToRenderValues(c, values, common.ReleaseOptions{Name: r.Name, Namespace: r.Namespace, Revision: 1, IsInstall: true}, capabilities)
	if err != nil {
		return nil, fmt.Errorf("values: %w", err)
	}
	if release, ok := all["Release"].(map[string]any); ok {
		release["Service"] = "heddle" // instead of Helm: it becomes the label managed-by
	}
	texts, err := engine.Render(c, all)
	if err != nil {
		return nil, fmt.Errorf("render the chart: %w", err)
	}
	out, err := gather(c, texts)
	if err != nil {
		return nil, err
	}
	settings, err := all.Table("Values.configAPI")
	if err != nil {
		return nil, fmt.Errorf("values: %w", err)
	}
	if out.Elsewhere = settings["enabled"] == true || settings["kubeconfigSecret"] != ""; out.Elsewhere {
		out.Definitions = nil
	}
	return out, nil
}

func load() (*chart.Chart, error) {
	var list []*archive.BufferedFile
	err := fs.WalkDir(files, "heddle", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := files.ReadFile(name)
		list = append(list, &archive.BufferedFile{Name: strings.TrimPrefix(name, "heddle/"), Data: data})
		return err
	})
	if err != nil {
		return nil, err
	}
	return loader.LoadFiles(list)
}

// values are those of the profile under those of the user.
func (r Release) values() (map[string]any, error) {
	name := cmp.Or(r.Profile, "default")
	raw, err := files.ReadFile("heddle/profiles/" + name + ".yaml")
	if err != nil {
		return nil, fmt.Errorf("there is no profile %q; there are %s", name, strings.Join(Profiles(), ", "))
	}
	profile := map[string]any{}
	if err := yaml.Unmarshal(raw, &profile); err != nil {
		return nil, fmt.Errorf("profile %s: %w", name, err)
	}
	return loader.MergeMaps(profile, r.Values), nil
}

func gather(c *chart.Chart, texts map[string]string) (*Rendered, error) {
	out := &Rendered{}
	for _, d := range c.CRDObjects() {
		objects, err := parse(d.Filename, string(d.File.Data))
		if err != nil {
			return nil, err
		}
		out.Definitions = append(out.Definitions, objects...)
	}
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		if path.Base(name) == "NOTES.txt" {
			out.Notes = strings.TrimSpace(texts[name]) + "\n"
			continue
		}
		objects, err := parse(name, texts[name])
		if err != nil {
			return nil, err
		}
		out.Objects = append(out.Objects, objects...)
	}
	slices.SortStableFunc(out.Objects, func(a, b *unstructured.Unstructured) int { return cmp.Compare(place(a), place(b)) })
	return out, nil
}

func parse(name, text string) (objects []*unstructured.Unstructured, err error) {
	for _, doc := range strings.Split("\n"+text, "\n---") {
		u := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(doc), &u.Object); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if len(u.Object) == 0 {
			continue
		}
		if u.GetKind() == "" || u.GetName() == "" {
			return nil, fmt.Errorf("%s: an object without kind or name", name)
		}
		objects = append(objects, u)
	}
	return objects, nil
}

// order is that in which objects are applied: what others refer to comes first. The API of the mesh's own comes before heddled, which waits for it. The webhook comes before the
// gateway, whose pods are nothing until they are injected: the cluster tries again until there is a control plane that does so.
var order = []string{"Namespace", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "ConfigMap", "Secret", "PersistentVolumeClaim", "Service", "StatefulSet", "MutatingWebhookConfiguration", ""}

func place(u *unstructured.Unstructured) int {
	if i := slices.Index(order, u.GetKind()); i >= 0 {
		return i
	}
	return slices.Index(order, "")
}
