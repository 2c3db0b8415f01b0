package inject

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	meshconfig "istio.io/api/mesh/v1alpha1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/config/settings"
)

const keyProxyConfig = "proxy.istio.io/config"

// Honoured are the fields of ProxyConfig that have an effect on injected pods.
var Honoured = settings.ProxyFields.Union(api.Fields("concurrency", "terminationDrainDuration", "discoveryAddress", "statusPort", "interceptionMode=REDIRECT|TPROXY|NONE", "meshId",
	"holdApplicationUntilProxyStarts", "image.imageType", "proxyMetadata", "proxyMetadata.*"))

// proxyConfig merges what the mesh, the namespaces, the workload and the pod say; the later count more.
func (b *builder) proxyConfig() *meshconfig.ProxyConfig {
	out := &meshconfig.ProxyConfig{}
	if b.s.Mesh != nil {
		merge(out, b.s.Mesh)
	}
	for _, level := range []func(p ProxyConfig) bool{
		func(p ProxyConfig) bool { return p.Namespace == b.s.RootNamespace && len(selector(p)) == 0 },
		func(p ProxyConfig) bool {
			return p.Namespace == b.r.Namespace && p.Namespace != b.s.RootNamespace && len(selector(p)) == 0
		},
		func(p ProxyConfig) bool {
			return p.Namespace == b.r.Namespace && len(selector(p)) > 0 && labels.SelectorFromSet(selector(p)).Matches(labels.Set(b.pod.Labels))
		},
	} {
		// The first by name counts: they come in the order of their age.
		for _, p := range b.s.ProxyConfigs {
			if level(p) {
				merge(out, ofObject(p))
				break
			}
		}
	}
	text, said := b.pod.Annotations[keyProxyConfig]
	if !said {
		return out
	}
	own := &meshconfig.ProxyConfig{}
	if err := parseProxyConfig(text, own); err != nil {
		b.refuse(annotation(keyProxyConfig), "%v", err)
		return out
	}
	for _, f := range Honoured.Unlisted(own) {
		b.warn("%s: %s is not honoured", annotation(keyProxyConfig), strings.TrimPrefix(f.Path, "spec."))
	}
	merge(out, own)
	if _, err := settings.Proxy(out); err != nil {
		b.refuse(annotation(keyProxyConfig), "%v", err)
	}
	if own.GatewayTopology != nil || own.ProxyHeaders != nil || own.ConnectionSettings != nil || own.Tracing != nil { // what the control plane compiles
		b.wants.own = compact(out)
	}
	return out
}

// compact is a ProxyConfig in one line of JSON, the same for equal ones.
func compact(p *meshconfig.ProxyConfig) string {
	loose, err := protojson.Marshal(p)
	if err != nil {
		return ""
	}
	var out bytes.Buffer
	if err := json.Compact(&out, loose); err != nil {
		return ""
	}
	return out.String()
}

func parseProxyConfig(text string, into *meshconfig.ProxyConfig) error {
	raw, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		return fmt.Errorf("want a ProxyConfig in YAML: %w", err)
	}
	if string(raw) == "null" {
		return nil
	}
	if err := protojson.Unmarshal(raw, into); err != nil {
		// The library varies its spaces, so that nobody compares its texts; who reads an answer twice must find the same.
		text := strings.ReplaceAll(strings.TrimPrefix(err.Error(), "proto:"), "\u00a0", " ")
		return fmt.Errorf("want a ProxyConfig: %s", strings.TrimSpace(text))
	}
	return nil
}

func selector(p ProxyConfig) map[string]string { return p.Spec.GetSelector().GetMatchLabels() }

// ofObject is the ProxyConfig that an object of that name stands for.
func ofObject(p ProxyConfig) *meshconfig.ProxyConfig {
	return &meshconfig.ProxyConfig{Concurrency: p.Spec.GetConcurrency(), ProxyMetadata: p.Spec.GetEnvironmentVariables(), Image: p.Spec.GetImage()}
}

// merge lets each field of over replace the one of into; maps are joined (Istio's rule).
func merge(into, over *meshconfig.ProxyConfig) {
	over = proto.Clone(over).(*meshconfig.ProxyConfig)
	to := into.ProtoReflect()
	over.ProtoReflect().Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if !f.IsMap() {
			to.Set(f, v)
			return true
		}
		joined := to.Mutable(f).Map()
		v.Map().Range(func(k protoreflect.MapKey, x protoreflect.Value) bool {
			joined.Set(k, x)
			return true
		})
		return true
	})
}
