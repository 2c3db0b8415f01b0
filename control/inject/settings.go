package inject

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"slices"

	meshconfig "istio.io/api/mesh/v1alpha1"
	networking "istio.io/api/networking/v1beta1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"sigs.k8s.io/yaml"
)

// The proxies that can be injected.
const (
	Heddle = "heddle"
	Envoy  = "envoy"
)

const defaultRevision = "default"

// Config is the file of --inject-config: what an installation decides.
type Config struct {
	Revision string   `json:"revision,omitempty"` // default: default
	Tags     []string `json:"tags,omitempty"`     // other names of this revision
	Proxy    string   `json:"proxy,omitempty"`    // heddle (default) or envoy
	// Image has heddle-proxy, EnvoyImage Envoy as /usr/local/bin/envoy beside it.
	Image            string                       `json:"image,omitempty"`
	EnvoyImage       string                       `json:"envoyImage,omitempty"`
	ImagePullPolicy  corev1.PullPolicy            `json:"imagePullPolicy,omitempty"`
	ImagePullSecrets []string                     `json:"imagePullSecrets,omitempty"`
	NativeSidecars   *bool                        `json:"nativeSidecars,omitempty"` // default true; Kubernetes before 1.29 needs false
	CNI              bool                         `json:"cni,omitempty"`            // the node agent captures traffic, and the pod's init container needs no privilege
	CaptureUDP       bool                         `json:"captureUDP,omitempty"`     // what pods send to services in datagrams goes to their proxies, which get NET_ADMIN for it
	Resources        *corev1.ResourceRequirements `json:"resources,omitempty"`
	// DiscoveryAddress is the control plane's unless ProxyConfig says another; default istiod.NAMESPACE.svc:15012.
	DiscoveryAddress string `json:"discoveryAddress,omitempty"`
	TokenAudience    string `json:"tokenAudience,omitempty"` // default istio-ca
	RootConfigMap    string `json:"rootConfigMap,omitempty"` // default istio-ca-root-cert, with the key root-cert.pem
	ClusterDomain    string `json:"clusterDomain,omitempty"` // default cluster.local
	// Templates are strategic merge patches of a pod that inject.istio.io/templates may name; DefaultTemplates are those of pods without that annotation.
	Templates        map[string]json.RawMessage `json:"templates,omitempty"`
	DefaultTemplates []string                   `json:"defaultTemplates,omitempty"`
}

// ProxyConfig is an object of networking.istio.io/v1beta1.
type ProxyConfig struct {
	Namespace, Name string
	Spec            *networking.ProxyConfig
}

// Settings are all that injection depends on besides the pod.
type Settings struct {
	Config
	Namespace          string // of the control plane
	RootNamespace      string
	TrustDomain        string
	ClusterID, Network string
	Mesh               *meshconfig.ProxyConfig // MeshConfig's defaultConfig; nil for none
	ProxyConfigs       []ProxyConfig
}

// ReadConfig reads the file of --inject-config; "" gives the defaults.
func ReadConfig(path string) (Config, error) {
	if path == "" {
		return ParseConfig(nil)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("read the settings of injection: %w; give --inject-config another path, or leave it out", err)
	}
	c, err := ParseConfig(raw)
	if err != nil {
		return Config{}, fmt.Errorf("read the settings of injection %s: %w", path, err)
	}
	return c, nil
}

// ParseConfig reads YAML strictly and fills in defaults.
func ParseConfig(raw []byte) (Config, error) {
	var c Config
	if err := yaml.UnmarshalStrict(raw, &c); err != nil {
		return c, err
	}
	c.Revision = cmp.Or(c.Revision, defaultRevision)
	c.Proxy = cmp.Or(c.Proxy, Heddle)
	c.Image = cmp.Or(c.Image, "heddle-proxy:dev")
	c.EnvoyImage = cmp.Or(c.EnvoyImage, "heddle-proxy-envoy:dev")
	c.TokenAudience = cmp.Or(c.TokenAudience, "istio-ca")
	c.RootConfigMap = cmp.Or(c.RootConfigMap, "istio-ca-root-cert")
	c.ClusterDomain = cmp.Or(c.ClusterDomain, "cluster.local")
	if c.NativeSidecars == nil {
		c.NativeSidecars = new(true)
	}
	if c.Resources == nil {
		c.Resources = &corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("128Mi")},
			Limits:   corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("2"), corev1.ResourceMemory: resource.MustParse("1Gi")}}
	}
	if len(c.DefaultTemplates) == 0 {
		c.DefaultTemplates = []string{templateSidecar}
	}
	return c, c.check()
}

func (c *Config) check() error {
	if c.Proxy != Heddle && c.Proxy != Envoy {
		return fmt.Errorf("field proxy: %q is not one of %s and %s", c.Proxy, Heddle, Envoy)
	}
	for name, patch := range c.Templates {
		if builtin(name) {
			return fmt.Errorf("field templates[%s]: this name is Heddle's own; choose another", name)
		}
		var pod corev1.Pod
		if err := yaml.UnmarshalStrict(patch, &pod); err != nil {
			return fmt.Errorf("field templates[%s]: want a patch of a pod: %w", name, err)
		}
		if _, err := strategicpatch.StrategicMergePatch([]byte("{}"), patch, corev1.Pod{}); err != nil {
			return fmt.Errorf("field templates[%s]: %w", name, err)
		}
	}
	for i, name := range c.DefaultTemplates {
		if _, custom := c.Templates[name]; !custom && name != templateSidecar && name != templateGateway {
			return fmt.Errorf("field defaultTemplates[%d]: there is no template %q", i, name)
		}
	}
	if !slices.Contains([]corev1.PullPolicy{"", corev1.PullAlways, corev1.PullIfNotPresent, corev1.PullNever}, c.ImagePullPolicy) {
		return fmt.Errorf("field imagePullPolicy: %q is not one of Always, IfNotPresent and Never", c.ImagePullPolicy)
	}
	return nil
}

// discovery is where proxies find the control plane when their ProxyConfig does not say.
func (s *Settings) discovery() string {
	return cmp.Or(s.DiscoveryAddress, "istiod."+s.Namespace+".svc:15012")
}
