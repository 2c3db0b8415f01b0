// Package manifest injects proxies into files of objects, as the webhook does into pods.
//
// In: YAML or JSON with any objects. Out: the same text, in which only the objects that hold a pod have changed. Pure.
package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/heddle-mesh/heddle/control/inject"
)

// templates are where the kinds hold their pod.
var templates = map[string][]string{
	"v1/Pod": {}, "v1/ReplicationController": {"spec", "template"},
	"apps/v1/Deployment": {"spec", "template"}, "apps/v1/StatefulSet": {"spec", "template"}, "apps/v1/DaemonSet": {"spec", "template"}, "apps/v1/ReplicaSet": {"spec", "template"},
	"batch/v1/Job": {"spec", "template"}, "batch/v1/CronJob": {"spec", "jobTemplate", "spec", "template"},
}

type object = map[string]any

// Template says where an object has the template of its pods, which is nowhere below a Pod itself; false for an object that holds none.
func Template(o map[string]any) (path []string, ok bool) {
	version, _ := o["apiVersion"].(string)
	kind, _ := o["kind"].(string)
	path, ok = templates[version+"/"+kind]
	return path, ok
}

// Injector injects; Tell hears one sentence about each object that stays as it is, or asks for something in vain.
type Injector struct {
	Settings  *inject.Settings
	Namespace string // of objects that name none
	Tell      func(sentence string)

	labels map[string]map[string]string // of the namespaces in the text
}

// Inject gives the text with proxies. Its error names each object that cannot be injected.
func (n Injector) Inject(in []byte) ([]byte, error) {
	docs := split(in)
	parsed := make([]object, len(docs))
	n.labels = map[string]map[string]string{}
	var errs []error
	for i, d := range docs {
		var err error
		if parsed[i], err = read(d.text); err != nil {
			errs = append(errs, fmt.Errorf("document %d: %w", i+1, err))
			continue
		}
		n.learn(parsed[i])
	}
	var out bytes.Buffer
	for i, d := range docs {
		changed, err := n.object(parsed[i])
		errs = append(errs, err)
		out.Write(d.separator)
		if !changed {
			out.Write(d.text)
			continue
		}
		text, err := write(parsed[i], d.text)
		errs = append(errs, err)
		out.Write(text)
	}
	return out.Bytes(), errors.Join(errs...)
}

// learn notes the labels of namespaces, which decide about the pods in them.
func (n *Injector) learn(o object) {
	switch {
	case o["kind"] == "List":
		items, _ := o["items"].([]any)
		for _, x := range items {
			item, _ := x.(object)
			n.learn(item)
		}
	case o["kind"] == "Namespace" && o["apiVersion"] == "v1":
		labels := map[string]string{}
		for k, v := range child(child(o, "metadata"), "labels") {
			labels[k], _ = v.(string)
		}
		n.labels[name(o)] = labels
	}
}

// object injects into one object, and says whether that changed it.
func (n *Injector) object(o object) (changed bool, err error) {
	if o["kind"] == "List" && o["apiVersion"] == "v1" {
		items, _ := o["items"].([]any)
		for _, x := range items {
			item, _ := x.(object)
			done, e := n.object(item)
			changed, err = changed || done, errors.Join(err, e)
		}
		return changed, err
	}
	path, ok := Template(o)
	if !ok {
		return false, nil
	}
	who := fmt.Sprintf("%s %s", o["kind"], name(o))
	pod := o
	for _, step := range path {
		if pod = child(pod, step); pod == nil {
			return false, fmt.Errorf("%s: %s is missing; it is the pod's template", who, strings.Join(path, "."))
		}
	}
	changed, err = n.pod(o, pod, len(path) > 0, who)
	if err != nil {
		return false, fmt.Errorf("%s: %w", who, err)
	}
	return changed, nil
}

func (n *Injector) pod(o, pod object, template bool, who string) (bool, error) {
	if child(pod, "metadata") == nil {
		pod["metadata"] = object{}
	}
	raw, err := json.Marshal(pod)
	if err != nil {
		return false, err
	}
	var typed corev1.Pod
	if err := json.Unmarshal(raw, &typed); err != nil {
		return false, fmt.Errorf("read the pod: %w", err)
	}
	r := inject.Request{Pod: &typed, Namespace: n.namespace(o)}
	if template {
		r.Workload = name(o)
	}
	var known bool
	r.Labels, known = n.labels[r.Namespace]
	r.Selected = !known // whoever calls for this pod to be injected, and says nothing of its namespace, means it
	done, err := inject.Inject(n.Settings, r)
	if err != nil {
		return false, err
	}
	if done.Pod == nil {
		n.Tell(who + " stays as it is: " + done.Skipped)
		return false, nil
	}
	for _, w := range done.Warnings {
		n.Tell(who + ": " + w)
	}
	return true, apply(pod, raw, &typed, done.Pod)
}

// apply changes the generic form of a pod as the API server would by the webhook's patch.
func apply(pod object, raw []byte, before, after *corev1.Pod) error {
	ops, err := inject.Patch(before, after)
	if err != nil {
		return err
	}
	text, err := json.Marshal(ops)
	if err != nil {
		return err
	}
	p, err := jsonpatch.DecodePatch(text)
	if err != nil {
		return err
	}
	if raw, err = p.Apply(raw); err != nil {
		return fmt.Errorf("change the pod: %w", err)
	}
	clear(pod)
	return decode(raw, &pod)
}

func (n *Injector) namespace(o object) string {
	if ns, _ := child(o, "metadata")["namespace"].(string); ns != "" {
		return ns
	}
	return n.Namespace
}

func name(o object) string {
	meta := child(o, "metadata")
	for _, key := range []string{"name", "generateName"} {
		if s, _ := meta[key].(string); s != "" {
			return s
		}
	}
	return "without a name"
}

func child(o object, key string) object {
	c, _ := o[key].(object)
	return c
}

// document is one of a text, with the line that parts it from the one before.
type document struct{ separator, text []byte }

// split parts a text at its document markers, which stand in the first column (YAML 1.2, 9.1.2). Nothing is lost.
func split(in []byte) []document {
	docs := []document{{}}
	for line := range bytes.Lines(in) {
		rest, marker := bytes.CutPrefix(line, []byte("---"))
		if marker && (len(rest) == 0 || strings.ContainsRune(" \t\r\n", rune(rest[0]))) && len(bytes.TrimSpace(withoutComment(rest))) == 0 {
			docs = append(docs, document{separator: line})
			continue
		}
		last := &docs[len(docs)-1]
		last.text = append(last.text, line...)
	}
	return docs
}

func withoutComment(line []byte) []byte {
	before, _, _ := bytes.Cut(line, []byte("#"))
	return before
}

// read gives nil for what is no object; such text is not looked at any further.
func read(text []byte) (object, error) {
	raw, err := yaml.YAMLToJSON(text)
	if err != nil {
		return nil, err
	}
	var v any
	if err := decode(raw, &v); err != nil {
		return nil, err
	}
	o, _ := v.(object)
	return o, nil
}

// decode keeps numbers as they are written.
func decode(raw []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	return d.Decode(into)
}

// write gives the object in the form that it had, JSON or YAML.
func write(o object, was []byte) ([]byte, error) {
	if bytes.HasPrefix(bytes.TrimSpace(was), []byte("{")) {
		raw, err := json.MarshalIndent(o, "", "  ")
		return append(raw, '\n'), err
	}
	return yaml.Marshal(o)
}
