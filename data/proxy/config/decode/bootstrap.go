package decode

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"sigs.k8s.io/yaml"

	"github.com/heddle-mesh/heddle/data/proxy/config"
)

// Bootstrap is what a bootstrap file says.
type Bootstrap struct {
	Node *corev3.Node
	// LocalCluster is the cluster that this proxy and its like form, "" for none.
	LocalCluster string
	Admin        string // HOST:PORT, or the path of a unix socket; "" for none
	Listeners    []*config.Listener
	Clusters     []*config.Cluster
	Secrets      []*config.SecretRef
	Overload     *config.Overload // nil for none
	// Limits are how many connections a listener may have open, by its name; also of those that come by xDS.
	Limits map[string]uint32
	// ADS is nil when everything is static.
	ADS *ADS
	// Message is the file as Envoy's own type, for config dumps.
	Message *bootstrapv3.Bootstrap
}

// ADS says where the aggregated stream is and what comes over it.
type ADS struct {
	Target              string // HOST:PORT or unix:PATH
	TLS                 *config.ClientTLS
	StateOfTheWorld     bool
	Listeners, Clusters bool // lds_config, cds_config
	// ListenersWait and ClustersWait are how long the proxy's readiness waits for their first answer (initial_fetch_timeout); 0 for ever.
	ListenersWait, ClustersWait time.Duration
	ConnectTimeout              time.Duration
	Keepalive                   config.Keepalive
	clusterName                 string
}

// ParseBootstrap reads an Envoy bootstrap in YAML or JSON without judging whether it can be honoured. Unknown fields are problems with their paths.
func ParseBootstrap(file []byte) (*bootstrapv3.Bootstrap, error) {
	text, err := yaml.YAMLToJSONStrict(file)
	if err != nil {
		return nil, fmt.Errorf("parse bootstrap: %w", err)
	}
	m := &bootstrapv3.Bootstrap{}
	var tree any
	if err := json.Unmarshal(text, &tree); err != nil {
		return nil, fmt.Errorf("parse bootstrap: %w", err)
	}
	if _, ok := tree.(map[string]any); !ok {
		return nil, fmt.Errorf("parse bootstrap: want an object, as Envoy's bootstrap is")
	}
	var p problems
	p.unknown("", tree, m.ProtoReflect().Descriptor())
	if err := p.err(); err != nil {
		return nil, sorted(p.list)
	}
	if err := protojson.Unmarshal(text, m); err != nil {
		return nil, fmt.Errorf("parse bootstrap: %w", err)
	}
	return m, nil
}

// Bootstrap reads a bootstrap file. All of its problems come at once.
func (d *Decoder) Bootstrap(file []byte) (*Bootstrap, error) {
	m, err := ParseBootstrap(file)
	if err != nil {
		return nil, err
	}
	r := d.start("", m)
	out := &Bootstrap{Node: m.GetNode(), LocalCluster: m.GetClusterManager().GetLocalClusterName(), Message: m}
	if a := m.GetAdmin().GetAddress(); a != nil {
		switch x := r.address("admin.address", a); {
		case x.path != "":
			out.Admin = x.path
		case x.ip.IsValid():
			out.Admin = x.ip.String()
		default:
			out.Admin = fmt.Sprintf("%s:%d", x.host, x.port)
		}
	}
	out.ADS = r.ads(m)
	out.Overload = r.overload("overload_manager", m.GetOverloadManager())
	r.limits = map[string]uint32{}
	if global := r.runtime("layered_runtime", m.GetLayeredRuntime()); global > 0 {
		if out.Overload == nil {
			out.Overload = &config.Overload{Refresh: defaultRefresh}
		}
		if out.Overload.MaxConnections == 0 { // the resource monitor goes before the older key
			out.Overload.MaxConnections = global
		}
	}
	out.Limits = r.limits
	s := m.GetStaticResources()
	for i, l := range s.GetListeners() {
		out.Listeners = append(out.Listeners, r.listener(at("static_resources", "listeners", i), l))
	}
	for i, c := range s.GetClusters() {
		p := at("static_resources", "clusters", i)
		if out.ADS != nil && c.GetName() == out.ADS.clusterName {
			r.adsCluster(p, c, out.ADS)
			continue
		}
		out.Clusters = append(out.Clusters, r.cluster(p, c))
	}
	for i, c := range s.GetSecrets() {
		out.Secrets = append(out.Secrets, r.secret(at("static_resources", "secrets", i), c))
	}
	if out.ADS != nil && out.ADS.Target == "" {
		r.add("dynamic_resources.ads_config.grpc_services[0].envoy_grpc.cluster_name", "the cluster %q is not among static_resources.clusters, or has no endpoint", out.ADS.clusterName)
	}
	r.names(out)
	return finish(r, out)
}

// Alike is the bootstrap of a proxy without a file, which asks its control plane for the cluster that it and its like form.
func (d *Decoder) Alike(cluster string) (*Bootstrap, error) {
	m := &clusterv3.Cluster{
		Name: cluster, ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS},
		EdsClusterConfig: &clusterv3.Cluster_EdsClusterConfig{EdsConfig: &corev3.ConfigSource{ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}}, ResourceApiVersion: corev3.ApiVersion_V3}},
	}
	c, err := d.Cluster("", m)
	if err != nil {
		return nil, err
	}
	return &Bootstrap{Clusters: []*config.Cluster{c}, Message: &bootstrapv3.Bootstrap{StaticResources: &bootstrapv3.Bootstrap_StaticResources{Clusters: []*clusterv3.Cluster{m}}}}, nil
}

// names refuses two listeners, clusters or secrets of one name.
func (r *read) names(b *Bootstrap) {
	var listeners, clusters []string
	for i, l := range b.Listeners {
		if slices.Contains(listeners, l.Name) {
			r.add(at("static_resources", "listeners", i)+".name", "%q is there twice", l.Name)
		}
		listeners = append(listeners, l.Name)
	}
	for i, c := range b.Clusters {
		if slices.Contains(clusters, c.Name) {
			r.add(at("static_resources", "clusters", i)+".name", "%q is there twice", c.Name)
		}
		clusters = append(clusters, c.Name)
	}
}

func (r *read) ads(m *bootstrapv3.Bootstrap) *ADS {
	dyn := m.GetDynamicResources()
	if dyn == nil {
		return nil
	}
	const path = "dynamic_resources."
	out := &ADS{Listeners: dyn.GetLdsConfig() != nil, Clusters: dyn.GetCdsConfig() != nil}
	if out.Listeners {
		out.ListenersWait = r.adsOnly(path+"lds_config", dyn.GetLdsConfig())
	}
	if out.Clusters {
		out.ClustersWait = r.adsOnly(path+"cds_config", dyn.GetCdsConfig())
	}
	c := dyn.GetAdsConfig()
	switch c.GetApiType() {
	case corev3.ApiConfigSource_GRPC:
		out.StateOfTheWorld = true
	case corev3.ApiConfigSource_DELTA_GRPC:
	default:
		r.add(path+"ads_config.api_type", "want GRPC or DELTA_GRPC")
	}
	if c.GetTransportApiVersion() != corev3.ApiVersion_V3 {
		r.add(path+"ads_config.transport_api_version", "want V3")
	}
	if len(c.GetGrpcServices()) != 1 {
		r.add(path+"ads_config.grpc_services", "want exactly one")
		return nil
	}
	r.nothingBut(path+"ads_config.grpc_services[0]", c.GetGrpcServices()[0], "envoy_grpc", "google_grpc")
	if g := c.GetGrpcServices()[0].GetGoogleGrpc(); g != nil {
		out.Target = g.GetTargetUri()
	}
	out.clusterName = c.GetGrpcServices()[0].GetEnvoyGrpc().GetClusterName()
	if c.GetGrpcServices()[0].GetEnvoyGrpc().GetAuthority() != "" {
		r.add(path+"ads_config.grpc_services[0].envoy_grpc.authority", "the control plane is asked for by the name of its cluster")
	}
	return out
}
