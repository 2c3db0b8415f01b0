package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/yaml"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/mesh"
)

// parameterKind is what an entry of the ConfigMap patches: its type, and the lists of what is made whose elements have keys.
type parameterKind struct {
	empty func() any
	lists string
}

// parameterKinds are the entries of a ConfigMap that spec.infrastructure.parametersRef names, as Istio has them.
var parameterKinds = map[string]parameterKind{
	"deployment":              {func() any { return &appsv1.Deployment{} }, `{"spec": {"template": {"spec": {"containers": [{"name": "istio-proxy"}]}}}}`},
	"service":                 {func() any { return &corev1.Service{} }, `{"spec": {"ports": [{"port": 15021}]}}`},
	"serviceAccount":          {func() any { return &corev1.ServiceAccount{} }, `{}`},
	"horizontalPodAutoscaler": {func() any { return &autoscalingv2.HorizontalPodAutoscaler{} }, `{}`},
	"podDisruptionBudget":     {func() any { return &policyv1.PodDisruptionBudget{} }, `{}`},
}

// kept are the fields that belong to the control plane: with others the objects would not be found again, or serve nothing.
var kept = [][]string{{"apiVersion"}, {"kind"}, {"status"}, {"metadata", "name"}, {"metadata", "namespace"}, {"metadata", "ownerReferences"}, {"spec", "selector"}, {"spec", "scaleTargetRef"}}

// parameters reads the patches of a gateway's workloads, those for its class, those that the class names, and its own; made says that there are such workloads. fault is one sentence with the field, "" if all is well.
func (v *visit) parameters(spec *gwv1.GatewaySpec, made bool) (out []mesh.Overlay, fault string) {
	if made {
		if out, fault = classDefaults(string(spec.GatewayClassName), v.in); fault != "" {
			return nil, "spec.gatewayClassName: " + fault
		}
		o, _ := v.in.Object(mesh.Ref{Group: api.GroupGateway, Kind: "GatewayClass", Name: string(spec.GatewayClassName)})
		if class, ok := o.Spec.(*gwv1.GatewayClassSpec); ok {
			more, fault := classParameters(class, v.in)
			if fault != "" {
				return nil, fmt.Sprintf("spec.gatewayClassName: parametersRef of %s: %s", o.Ref(), fault)
			}
			out = append(out, more...)
		}
	}
	if spec.Infrastructure == nil || spec.Infrastructure.ParametersRef == nil {
		return out, ""
	}
	ref, at := spec.Infrastructure.ParametersRef, "spec.infrastructure.parametersRef: "
	switch {
	case ref.Group != "" || ref.Kind != "ConfigMap":
		return nil, fmt.Sprintf("%s%s %s is not understood; name a ConfigMap of the gateway's namespace", at, ref.Kind, ref.Name)
	case !made:
		return nil, fmt.Sprintf("%sConfigMap %s is not read, because no workloads are made for this gateway", at, ref.Name)
	}
	own, fault := overlays(v.ns, ref.Name, v.in)
	if fault != "" {
		return nil, at + fault
	}
	return append(out, own...), ""
}

// classMark is the label of a ConfigMap of the root namespace that names the class whose gateways it is for, as in Istio.
const classMark = "gateway.istio.io/defaults-for-class"

// IsClassDefault says whether an object is a ConfigMap with patches for the gateways of a class.
func IsClassDefault(o api.Object, root mesh.Namespace) bool {
	_, is := o.Spec.(*corev1.ConfigMap)
	return is && o.Meta.Labels[classMark] != "" && mesh.Namespace(o.Meta.Namespace) == root
}

// classDefaults reads the oldest one for a class.
func classDefaults(class string, in Lookup) (out []mesh.Overlay, fault string) {
	var oldest api.Object
	for _, o := range in.ClassDefaults() {
		if o.Meta.Labels[classMark] == class && (oldest.Kind == nil || o.Meta.Created.Before(oldest.Meta.Created)) {
			oldest = o
		}
	}
	if oldest.Kind == nil {
		return nil, ""
	}
	return overlays(oldest.Ref().Namespace, oldest.Meta.Name, in)
}

// classParameters reads the patches of the workloads of a class's gateways.
func classParameters(class *gwv1.GatewayClassSpec, in Lookup) (out []mesh.Overlay, fault string) {
	ref := class.ParametersRef
	switch {
	case ref == nil:
		return nil, ""
	case ref.Group != "" || ref.Kind != "ConfigMap":
		return nil, fmt.Sprintf("%s %s%s is not understood; name a ConfigMap", ref.Kind, ref.Name, inGroup(string(ref.Group)))
	case deref(ref.Namespace, "") == "":
		return nil, fmt.Sprintf("ConfigMap %s is of no namespace; write parametersRef.namespace", ref.Name)
	case !in.Settings().Injects:
		return nil, fmt.Sprintf("ConfigMap %s/%s is not read, because no workloads are made for gateways", *ref.Namespace, ref.Name)
	}
	return overlays(mesh.Namespace(*ref.Namespace), ref.Name, in)
}

// overlays are the entries of a ConfigMap.
func overlays(ns mesh.Namespace, name string, in Lookup) (out []mesh.Overlay, fault string) {
	o, ok := in.Object(mesh.Ref{Kind: "ConfigMap", Namespace: ns, Name: name})
	m, isMap := o.Spec.(*corev1.ConfigMap)
	if !ok || !isMap {
		return nil, fmt.Sprintf("there is no ConfigMap %s in namespace %s", name, ns)
	}
	for _, key := range slices.Sorted(maps.Keys(m.Data)) {
		patch, err := overlay(key, m.Data[key])
		if err != nil {
			return nil, fmt.Sprintf("ConfigMap %s, data.%s: %s", name, key, err)
		}
		out = append(out, mesh.Overlay{Of: key, Patch: patch})
	}
	return out, ""
}

// overlay reads one strategic merge patch and gives it as JSON.
func overlay(key, text string) (string, error) {
	kind, ok := parameterKinds[key]
	if !ok {
		return "", fmt.Errorf("it is none of %s", strings.Join(slices.Sorted(maps.Keys(parameterKinds)), ", "))
	}
	data, err := yaml.YAMLToJSONStrict([]byte(text))
	if err != nil {
		return "", err
	}
	var patch map[string]any
	if err := json.Unmarshal(data, &patch); err != nil {
		return "", errors.New("want an object with metadata and spec")
	}
	for _, path := range kept {
		if at := lookFor(patch, path); at {
			return "", fmt.Errorf("%s is the control plane's own; remove it", strings.Join(path, "."))
		}
	}
	plain, err := json.Marshal(withoutDirectives(patch))
	if err != nil {
		return "", err
	}
	d := json.NewDecoder(bytes.NewReader(plain))
	d.DisallowUnknownFields()
	if err := d.Decode(kind.empty()); err != nil {
		return "", errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	if _, err := strategicpatch.StrategicMergePatch([]byte(kind.lists), data, kind.empty()); err != nil {
		return "", err
	}
	return string(data), nil
}

// lookFor says whether a patch has something at a path.
func lookFor(m map[string]any, path []string) bool {
	for i, name := range path {
		next, ok := m[name]
		if !ok || i == len(path)-1 {
			return ok
		}
		if m, ok = next.(map[string]any); !ok {
			return false
		}
	}
	return false
}

// withoutDirectives leaves out those of strategic merge patches ($patch, $retainKeys, $deleteFromPrimitiveList/..., $setElementOrder/...), which are no fields.
func withoutDirectives(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, value := range v {
			if !strings.HasPrefix(key, "$") {
				out[key] = withoutDirectives(value)
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = withoutDirectives(v[i])
		}
		return out
	}
	return v
}
