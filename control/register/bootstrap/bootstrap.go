// Package bootstrap makes the files with which a machine outside of Kubernetes joins the mesh: what its proxy is to say of itself, whom it asks, and how the workload is probed.
//
// In: a WorkloadGroup and what the mesh says of proxies. Out: files in Istio's form (istioctl x workload entry configure), which Istio's agent and heddle-proxy read alike. Pure.
package bootstrap

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	meshconfig "istio.io/api/mesh/v1alpha1"
	networking "istio.io/api/networking/v1alpha3"
	"sigs.k8s.io/yaml"

	"github.com/heddle-mesh/heddle/api"
)

// The files.
const (
	FileEnvironment = "cluster.env"
	FileMesh        = "mesh.yaml"
	FileHosts       = "hosts"
	FileRoots       = "root-cert.pem"
	FileToken       = "istio-token"
)

// ProxyConfig is the annotation in which a group says how its proxies are configured.
const ProxyConfig = "proxy.istio.io/config"

// Options are what is true of all groups.
type Options struct {
	Proxies     *meshconfig.ProxyConfig // the mesh's defaultConfig; nil for none
	TrustDomain string
	ClusterID   string
	Namespace   string     // of the control plane
	Service     string     // of the control plane there; "" is heddled
	Entry       string     // the WorkloadEntry that somebody made for the workload; "" for none
	Ingress     netip.Addr // where the control plane is reached; the zero Addr when its name is known to the machine
	Address     netip.Addr // of the machine; the zero Addr is found by its proxy
	Outside     bool       // the address is not one of the machine's own: others reach it there
	Register    bool       // the workload registers itself
	DNS         bool       // the proxy answers questions for names
}

// Host is the name of the control plane.
func (o Options) Host() string { return cmp.Or(o.Service, "heddled") + "." + o.Namespace + ".svc" }

// Files makes the files of a group's machines.
func Files(group api.Object, o Options) (map[string][]byte, error) {
	spec, ok := group.Spec.(*networking.WorkloadGroup)
	if !ok {
		return nil, fmt.Errorf("%s is not a WorkloadGroup", group.Ref())
	}
	config := &meshconfig.ProxyConfig{}
	if o.Proxies != nil {
		config = proto.Clone(o.Proxies).(*meshconfig.ProxyConfig)
	}
	config.DiscoveryAddress = cmp.Or(config.GetDiscoveryAddress(), o.Host()+":15012")
	metadata := maps.Clone(config.GetProxyMetadata())
	for _, annotations := range []map[string]string{group.Meta.Annotations, spec.GetMetadata().GetAnnotations()} {
		own := &meshconfig.ProxyConfig{}
		if err := read(annotations[ProxyConfig], own); err != nil {
			return nil, fmt.Errorf("annotation %s of %s: %w", ProxyConfig, group.Ref(), err)
		}
		metadata = merged(metadata, own.GetProxyMetadata())
		proto.Merge(config, own)
	}
	if spec.GetProbe() != nil {
		config.ReadinessProbe = spec.GetProbe()
	}
	config.ProxyMetadata = merged(metadata, o.metadata(group, spec, config))
	raw, err := protojson.Marshal(config)
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", FileMesh, err)
	}
	text, err := yaml.JSONToYAML([]byte(`{"defaultConfig":` + string(raw) + `}`))
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", FileMesh, err)
	}
	files := map[string][]byte{FileMesh: text, FileEnvironment: o.environment(group, spec, config), FileHosts: nil}
	if o.Ingress.IsValid() {
		files[FileHosts] = []byte(o.Ingress.String() + " " + o.Host() + "\n")
	}
	return files, nil
}

func read(text string, into *meshconfig.ProxyConfig) error {
	if text == "" {
		return nil
	}
	raw, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		return err
	}
	return protojson.Unmarshal(raw, into)
}

// metadata is what the proxy says of itself.
func (o Options) metadata(group api.Object, spec *networking.WorkloadGroup, config *meshconfig.ProxyConfig) map[string]string {
	t, name := spec.GetTemplate(), group.Meta.Name
	labels := merged(spec.GetMetadata().GetLabels(), t.GetLabels())
	service := cmp.Or(labels["service.istio.io/canonical-name"], labels["app.kubernetes.io/name"], labels["app"], name)
	revision := cmp.Or(labels["service.istio.io/canonical-revision"], labels["app.kubernetes.io/version"], labels["version"], "latest")
	labels["service.istio.io/canonical-name"], labels["service.istio.io/canonical-revision"] = service, revision
	out := map[string]string{
		"CANONICAL_SERVICE": service, "CANONICAL_REVISION": revision, "POD_NAMESPACE": group.Meta.Namespace, "SERVICE_ACCOUNT": Account(group), "TRUST_DOMAIN": o.TrustDomain,
		"ISTIO_META_CLUSTER_ID": o.ClusterID, "ISTIO_META_MESH_ID": config.GetMeshId(), "ISTIO_META_NETWORK": t.GetNetwork(), "ISTIO_META_WORKLOAD_NAME": name,
		"ISTIO_METAJSON_LABELS": compact(labels),
	}
	type port struct {
		Name   string `json:"name"`
		Number uint32 `json:"containerPort"`
	}
	var ports []port
	for _, n := range slices.Sorted(maps.Keys(t.GetPorts())) {
		ports = append(ports, port{n, t.GetPorts()[n]})
	}
	if len(ports) > 0 {
		out["ISTIO_META_POD_PORTS"] = compact(ports)
	}
	if o.DNS {
		out["ISTIO_META_DNS_CAPTURE"] = "true"
	}
	if o.Register {
		out["ISTIO_META_AUTO_REGISTER_GROUP"] = name
	}
	out["ISTIO_META_WORKLOAD_ENTRY"] = o.Entry
	maps.DeleteFunc(out, func(_, v string) bool { return v == "" })
	return out
}

// Account is the service account of a group's workloads.
func Account(group api.Object) string {
	spec, _ := group.Spec.(*networking.WorkloadGroup)
	return cmp.Or(spec.GetTemplate().GetServiceAccount(), "default")
}

// excluded are ports whose traffic is not captured: a machine must stay reachable (22), and these are the proxy's own.
const excluded = "22,15090,15021"

// environment is what the machine's scripts read: what is captured, and for whom.
func (o Options) environment(group api.Object, spec *networking.WorkloadGroup, config *meshconfig.ProxyConfig) []byte {
	inbound := "*"
	if ports := spec.GetTemplate().GetPorts(); len(ports) > 0 {
		var list []string
		for _, n := range slices.Sorted(maps.Values(ports)) {
			list = append(list, strconv.Itoa(int(n)))
		}
		inbound = strings.Join(slices.Compact(list), ",")
	}
	out := excluded
	if p := config.GetStatusPort(); p != 15090 && p != 15021 {
		out += "," + strconv.Itoa(int(cmp.Or(p, 15020)))
	}
	env := merged(config.GetProxyMetadata(), map[string]string{
		"ISTIO_INBOUND_PORTS": inbound, "ISTIO_LOCAL_EXCLUDE_PORTS": out, "ISTIO_NAMESPACE": group.Meta.Namespace, "ISTIO_SERVICE": group.Meta.Name + "." + group.Meta.Namespace,
		"ISTIO_SERVICE_CIDR": "*", "SERVICE_ACCOUNT": Account(group),
	})
	if o.Address.IsValid() {
		env["ISTIO_SVC_IP"] = o.Address.String()
		if o.Outside {
			env["REWRITE_PROBE_LEGACY_LOCALHOST_DESTINATION"] = "true"
		}
	}
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(env)) {
		fmt.Fprintf(&b, "%s=%s\n", k, quoted(env[k]))
	}
	return []byte(b.String())
}

// quoted writes a value for a shell.
func quoted(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:,@%+=") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'"'"'`) + "'"
}

func compact(v any) string {
	b, _ := json.Marshal(v) // maps and lists of text and numbers: cannot fail
	return string(b)
}

// merged joins maps; later ones count more.
func merged(all ...map[string]string) map[string]string {
	out := map[string]string{}
	for _, m := range all {
		maps.Copy(out, m)
	}
	return out
}
