// Package settings reads mesh-wide settings from a file with Istio's MeshConfig.
//
// In: a YAML file. Out: mesh.Settings, and a Problem for every field that is not honoured; an unhonoured field on which trust rests is an error. Pure but
// for the one read.
package settings

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
	meshconfig "istio.io/api/mesh/v1alpha1"
	"sigs.k8s.io/yaml"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/config/locality"
	"github.com/heddle-mesh/heddle/identity"
	"github.com/heddle-mesh/heddle/mesh"
)

// honoured are the fields of MeshConfig that have an effect.
var honoured = api.Fields("defaultServiceExportTo", "defaultVirtualServiceExportTo", "defaultDestinationRuleExportTo", "rootNamespace", "trustDomain", "outboundTrafficPolicy.mode=REGISTRY_ONLY|ALLOW_ANY|ALLOW_ANY_DYNAMIC_DNS", "outboundTrafficPolicy.tls.*", "enableAutoMtls", "accessLogFile",
	"accessLogEncoding", "connectTimeout", "protocolDetectionTimeout", "proxyHttpPort", "defaultHttpRetryPolicy.*", "defaultInboundHttpRetryPolicy.*",
	"ingressClass", "ingressControllerMode", "ingressSelector", "ingressService", "tcpKeepalive.*", "dnsRefreshRate", "inboundTrafficPolicy.mode", "outboundClusterStatName", "inboundClusterStatName",
	"discoverySelectors[].*", "serviceEntryVisibility.*", "serviceSettings[].*", "defaultTrafficPolicy.*", "h2UpgradePolicy", "trustDomainAliases", "verifyCertificateAtClient",
	"meshMTLS.minProtocolVersion", "meshMTLS.cipherSuites", "meshMTLS.ecdhCurves", "tlsDefaults.minProtocolVersion", "tlsDefaults.cipherSuites", "tlsDefaults.ecdhCurves",
	"accessLogFormat", "extensionProviders[].name", "extensionProviders[].envoyFileAccessLog.*", "extensionProviders[].prometheus",
	"extensionProviders[].opentelemetry.service", "extensionProviders[].opentelemetry.port", "extensionProviders[].opentelemetry.maxTagLength", "extensionProviders[].opentelemetry.http.path",
	"extensionProviders[].opentelemetry.http.timeout", "extensionProviders[].opentelemetry.http.headers[].name", "extensionProviders[].opentelemetry.http.headers[].value",
	"extensionProviders[].opentelemetry.grpc.timeout", "extensionProviders[].opentelemetry.grpc.initialMetadata[].name", "extensionProviders[].opentelemetry.grpc.initialMetadata[].value",
	"extensionProviders[].opentelemetry.resourceDetectors.environment",
	"extensionProviders[].zipkin.service", "extensionProviders[].zipkin.port", "extensionProviders[].zipkin.maxTagLength", "extensionProviders[].zipkin.enable64bitTraceId", "extensionProviders[].zipkin.path",
	"extensionProviders[].zipkin.traceContextOption", "defaultProviders.tracing", "enableTracing", "defaultProviders.accessLogging", "defaultProviders.metrics",
	"localityLbSetting.*", "zoneAwareLbSetting.*", "pathNormalization.normalization=DEFAULT|NONE|BASE|MERGE_SLASHES|DECODE_AND_MERGE_SLASHES",
	// These have an effect on pods that are injected (control/inject).
	"defaultConfig.concurrency", "defaultConfig.terminationDrainDuration", "defaultConfig.discoveryAddress", "defaultConfig.statusPort", "defaultConfig.meshId",
	"defaultConfig.interceptionMode=REDIRECT|TPROXY|NONE", "defaultConfig.holdApplicationUntilProxyStarts", "defaultConfig.image.imageType", "defaultConfig.proxyMetadata",
	"defaultConfig.proxyMetadata.*", "defaultConfig.readinessProbe.*").Union(ProxyFields.Below("defaultConfig"))

// trust are fields that must not be overlooked: without them the mesh would trust or allow more than its owner wrote.
var trust = []string{"caCertificates", "meshMTLS", "tlsDefaults", "pathNormalization", "ca"}

// Default are the settings of a mesh without a file; they are Istio's.
func Default() *mesh.Settings {
	return &mesh.Settings{TrustDomain: identity.DefaultTrustDomain, RootNamespace: mesh.RootNamespace, AutoMTLS: true, ConnectTimeout: 10 * time.Second,
		ClusterDomain: "cluster.local"}
}

// Read reads a file over the default settings.
func Read(path string) (*mesh.Settings, []mesh.Problem, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, fmt.Errorf("read mesh config: %w; give --mesh-config the path of a file with MeshConfig fields, or leave it out", err)
	}
	s, problems, err := Parse(raw)
	if err != nil {
		return nil, nil, fmt.Errorf("read mesh config %s: %w", path, err)
	}
	for i := range problems {
		problems[i].Object = mesh.Ref{Kind: "MeshConfig", Name: path}
	}
	return s, problems, nil
}

// ReadProxyConfig reads the file's defaultConfig, which injection takes whole; "" gives an empty one.
func ReadProxyConfig(path string) (*meshconfig.ProxyConfig, error) {
	if path == "" {
		return &meshconfig.ProxyConfig{}, nil
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read mesh config: %w", err)
	}
	in, err := ParseProxyConfig(raw)
	if err != nil {
		return nil, fmt.Errorf("read mesh config %s: %w", path, err)
	}
	return in, nil
}

// ParseProxyConfig reads the defaultConfig of a MeshConfig.
func ParseProxyConfig(raw []byte) (*meshconfig.ProxyConfig, error) {
	in, err := decode(raw)
	if err != nil {
		return nil, err
	}
	if in.DefaultConfig == nil {
		return &meshconfig.ProxyConfig{}, nil
	}
	return in.DefaultConfig, nil
}

func decode(raw []byte) (*meshconfig.MeshConfig, error) {
	var fields map[string]any
	if err := yaml.Unmarshal(raw, &fields); err != nil {
		return nil, err
	}
	var in meshconfig.MeshConfig
	if err := checkKnown(in.ProtoReflect().Descriptor(), fields, ""); err != nil {
		return nil, err
	}
	json, err := yaml.YAMLToJSON(raw)
	if err != nil {
		return nil, err
	}
	if fields != nil {
		if err := in.UnmarshalJSON(json); err != nil {
			return nil, err
		}
	}
	return &in, nil
}

// Parse reads MeshConfig in YAML over the default settings.
func Parse(raw []byte) (*mesh.Settings, []mesh.Problem, error) {
	in, err := decode(raw)
	if err != nil {
		return nil, nil, err
	}
	var problems []mesh.Problem
	for _, f := range honoured.Unlisted(in) {
		field := strings.TrimPrefix(f.Path, "spec.")
		top, _, _ := strings.Cut(field, ".")
		top, _, _ = strings.Cut(top, "[")
		if slices.Contains(trust, top) {
			return nil, nil, fmt.Errorf("field %s is not enforced yet and the mesh's security rests on it; remove the field to start without it", field)
		}
		problems = append(problems, mesh.Problem{Field: field, Code: mesh.CodeNotEnforced, Message: reason(field), Hint: "remove it"})
	}
	s, err := settings(in)
	if err != nil {
		return nil, nil, err
	}
	err = errors.Join(baseline(s, in.GetDefaultTrafficPolicy(), &problems), discovery(s, in, &problems), unknown(s, in.GetOutboundTrafficPolicy(), &problems))
	problems = append(problems, unserved(s, in)...)
	s.Locality = locality.Read(in.LocalityLbSetting,
		func(field, message string) {
			err = errors.Join(err, fmt.Errorf("field localityLbSetting.%s: %s", field, message))
		})
	if zones := locality.Zones(in.ZoneAwareLbSetting, func(field, message string) {
		err = errors.Join(err, fmt.Errorf("field zoneAwareLbSetting.%s: %s", field, message))
	}); zones != nil {
		if s.Locality != nil {
			problems = append(problems, mesh.Problem{Field: "localityLbSetting", Code: mesh.CodeNotEnforced, Message: "zoneAwareLbSetting takes its place", Hint: "remove one of them"})
		}
		s.Locality = zones
	}
	return s, problems, err
}

// checkKnown finds fields that MeshConfig does not have; a misspelt setting would otherwise be silently ignored.
func checkKnown(d protoreflect.MessageDescriptor, fields map[string]any, path string) error {
	for name, value := range fields {
		f := d.Fields().ByJSONName(name)
		if f == nil {
			f = d.Fields().ByTextName(name)
		}
		if f == nil {
			return fmt.Errorf("there is no field %s", strings.TrimPrefix(path+"."+name, "."))
		}
		sub, isMap := value.(map[string]any)
		if isMap && f.Message() != nil && !f.IsMap() && !strings.HasPrefix(string(f.Message().FullName()), "google.protobuf.") {
			if err := checkKnown(f.Message(), sub, path+"."+name); err != nil {
				return err
			}
		}
	}
	return nil
}

// pathForms: Istio's default is BASE.
var pathForms = map[meshconfig.MeshConfig_ProxyPathNormalization_NormalizationType]mesh.PathForm{
	meshconfig.MeshConfig_ProxyPathNormalization_NONE: mesh.PathsAsTheyAre, meshconfig.MeshConfig_ProxyPathNormalization_MERGE_SLASHES: mesh.MergeSlashes,
	meshconfig.MeshConfig_ProxyPathNormalization_DECODE_AND_MERGE_SLASHES: mesh.DecodeSlashes,
}

func settings(in *meshconfig.MeshConfig) (*mesh.Settings, error) {
	s := Default()
	if in.RootNamespace != "" {
		s.RootNamespace = mesh.Namespace(in.RootNamespace)
	}
	if in.TrustDomain != "" {
		if _, err := identity.ParseTrustDomain(in.TrustDomain); err != nil {
			return nil, fmt.Errorf("field trustDomain: %w", err)
		}
		s.TrustDomain = in.TrustDomain
	}
	s.RegistryOnly = in.GetOutboundTrafficPolicy() != nil && in.OutboundTrafficPolicy.Mode == meshconfig.MeshConfig_OutboundTrafficPolicy_REGISTRY_ONLY
	if in.EnableAutoMtls != nil {
		s.AutoMTLS = in.EnableAutoMtls.Value
	}
	s.Ingress = ingress(in)
	if err := exports(s, in); err != nil {
		return nil, err
	}
	if in.ConnectTimeout != nil {
		if s.ConnectTimeout = in.ConnectTimeout.AsDuration(); s.ConnectTimeout < time.Millisecond {
			return nil, errors.New("field connectTimeout: want at least 1ms")
		}
	}
	if in.ProtocolDetectionTimeout != nil {
		if s.DetectionTimeout = in.ProtocolDetectionTimeout.AsDuration(); s.DetectionTimeout < 0 {
			return nil, errors.New("field protocolDetectionTimeout: want 0 or more")
		}
	}
	if in.ProxyHttpPort < 0 || in.ProxyHttpPort > 65535 {
		return nil, fmt.Errorf("field proxyHttpPort: %d is not a port", in.ProxyHttpPort)
	}
	s.HTTPProxyPort = uint16(in.ProxyHttpPort)
	s.Paths = pathForms[in.GetPathNormalization().GetNormalization()]
	var err error
	if s.Proxy, err = Proxy(in.GetDefaultConfig()); err != nil {
		return nil, fmt.Errorf("field defaultConfig: %w", err)
	}
	r := reader{}
	r.meshLog(s, in)
	r.providers(s, in)
	s.Retry = r.retry(in.DefaultHttpRetryPolicy, "defaultHttpRetryPolicy")
	s.InboundRetry = r.retry(in.DefaultInboundHttpRetryPolicy, "defaultInboundHttpRetryPolicy")
	s.Keepalive = r.keepalive(in.TcpKeepalive)
	s.DNSRefresh = r.duration(in.DnsRefreshRate, "dnsRefreshRate")
	s.MeshTLS, s.TLS = r.bounds(in.GetMeshMTLS(), "meshMTLS"), r.bounds(in.GetTlsDefaults(), "tlsDefaults")
	s.UpgradeHTTP = in.H2UpgradePolicy == meshconfig.MeshConfig_UPGRADE
	s.Unverified = in.VerifyCertificateAtClient != nil && !in.VerifyCertificateAtClient.Value //nolint:staticcheck // deprecated, and still written by users
	s.TrustAliases = r.domains(in.TrustDomainAliases, s.TrustDomain)
	s.LocalInbound = in.GetInboundTrafficPolicy().GetMode() == meshconfig.MeshConfig_InboundTrafficPolicy_LOCALHOST
	s.OutboundStat = r.pattern(in.OutboundClusterStatName, "outboundClusterStatName", outboundVariables)
	s.InboundStat = r.pattern(in.InboundClusterStatName, "inboundClusterStatName", inboundVariables)
	return s, r.err
}
