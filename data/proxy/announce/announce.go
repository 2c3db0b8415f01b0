// Package announce says who a proxy is and what it can do: the xDS node with Istio's metadata, and its identity.
//
// In: what the operator said of the workload. Out: a node and a SPIFFE ID. Everything is pure.
package announce

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/heddle-mesh/heddle/identity"
)

// Kind is the first part of Istio's node id.
type Kind string

// The kinds of proxy.
const (
	Sidecar Kind = "sidecar"
	Gateway Kind = "router"
)

// Workload is what a proxy stands for.
type Workload struct {
	Kind                     Kind
	Name, Namespace, Account string
	IPs                      []netip.Addr
	Labels                   map[string]string
	ClusterID, Network, Mesh string
	TrustDomain, DNSDomain   string // DNSDomain is cluster.local: services end in svc.DOMAIN
	Interception             string // REDIRECT, TPROXY or NONE
	// Region, Zone and Subzone are where it runs; "" for what its labels say, see Place.
	Region, Zone, Subzone string
	// SelfDiscovery asks where the proxies of like workloads run: the cluster LocalCluster.
	SelfDiscovery bool
	// Applications are where the workload really listens for what arrives at a port of it, where nothing is captured: loopback addresses.
	Applications map[uint16]netip.AddrPort
	// Config is Istio's ProxyConfig for this proxy in JSON or YAML, "" where that of the mesh counts. It is told to the control plane as it is.
	Config string
	// Group is the WorkloadGroup in which the control plane is to register the workload, Entry the WorkloadEntry that somebody made for it; "" for none.
	Group, Entry string
	// Agent and Version name the program; Features is what heddled may send it.
	Agent, Version string
	Features       []string
}

// Features of heddle-proxy in this version (metadata HEDDLE_FEATURES).
func Features() []string {
	return []string{"vhds", "http1", "http2", "tcp", "rbac", "fault", "cors", "hash", "mirror", "outlier", "proxy-protocol", "crl", "budget-interval", "balance", "udp", "patch", "upstream", "route-stats", "pins", "tunnel", "client-names", "session", "external-auth", "tracing", "metrics", "log-filter"}
}

// IstioVersion is the release of Istio whose names and forms of configuration the proxy is given; patches may be for some releases only (metadata ISTIO_VERSION).
const IstioVersion = "1.31.1"

// LocalCluster is the name of the cluster that the proxies of like workloads form (Istio's name).
const LocalCluster = "local_cluster"

// CapturesUDP is a feature of a proxy to which the datagrams of its workload are led.
const CapturesUDP = "udp-capture"

// Check says in one sentence what is missing.
func (w *Workload) Check() error {
	for _, x := range []struct{ flag, value string }{{"--name", w.Name}, {"--namespace", w.Namespace}, {"--service-account", w.Account}} {
		if x.value == "" {
			return fmt.Errorf("%s is missing; it says which workload the proxy stands for", x.flag)
		}
	}
	if len(w.IPs) == 0 {
		return fmt.Errorf("--ip is missing; give each address of the workload")
	}
	switch w.Interception {
	case "REDIRECT", "TPROXY", "NONE":
	default:
		return fmt.Errorf("--interception-mode %q is not one of REDIRECT, TPROXY and NONE", w.Interception)
	}
	if w.Group != "" && w.Entry != "" {
		return fmt.Errorf("--register-group and --workload-entry exclude each other: an entry is made for the workload, or it is there")
	}
	for port, at := range w.Applications {
		if w.Interception != "NONE" {
			return fmt.Errorf("--application is for --interception-mode NONE; where traffic is captured, the workload listens on its ports itself")
		}
		if !at.Addr().IsLoopback() {
			return fmt.Errorf("--application %d=%s: the application must listen on a loopback address, such as 127.0.0.1", port, at)
		}
	}
	_, err := w.ID()
	return err
}

// Registered says whether the control plane has an entry for the workload, so that its health matters.
func (w *Workload) Registered() bool { return w.Group != "" || w.Entry != "" }

// ID is the workload's SPIFFE ID.
func (w *Workload) ID() (identity.ID, error) {
	domain, err := identity.ParseTrustDomain(w.TrustDomain)
	if err != nil {
		return identity.ID{}, err
	}
	return identity.NewID(domain, w.Namespace, w.Account), nil
}

// Services is the domain of services: svc.cluster.local.
func (w *Workload) Services() string { return "svc." + w.DNSDomain }

// Node is Istio's form of an xDS node: TYPE~IP~NAME.NAMESPACE~NAMESPACE.svc.DOMAIN with metadata.
func (w *Workload) Node() (*corev3.Node, error) {
	ips := make([]string, len(w.IPs))
	for i, ip := range w.IPs {
		ips[i] = ip.String()
	}
	labels := map[string]any{}
	for k, v := range w.Labels {
		labels[k] = v
	}
	metadata := map[string]any{
		"NAME": w.Name, "NAMESPACE": w.Namespace, "SERVICE_ACCOUNT": w.Account, "WORKLOAD_NAME": w.Name, "LABELS": labels, "INSTANCE_IPS": strings.Join(ips, ","),
		"CLUSTER_ID": w.ClusterID, "NETWORK": w.Network, "MESH_ID": w.Mesh, "INTERCEPTION_MODE": w.Interception, "DNS_CAPTURE": "true", "HEDDLE_VERSION": w.Version, "ISTIO_VERSION": IstioVersion, "PROXY_CONFIG": w.Config, "AUTO_REGISTER_GROUP": w.Group, "WORKLOAD_ENTRY": w.Entry,
	}
	var applications []string
	for _, port := range slices.Sorted(maps.Keys(w.Applications)) {
		applications = append(applications, fmt.Sprintf("%d=%s", port, w.Applications[port]))
	}
	metadata["HEDDLE_APPLICATIONS"] = strings.Join(applications, ",")
	for k, v := range metadata {
		if v == "" {
			delete(metadata, k)
		}
	}
	if w.SelfDiscovery {
		metadata["ENABLE_SELF_DISCOVERY"] = "true"
	}
	features := make([]any, len(w.Features))
	for i, f := range w.Features {
		features[i] = f
	}
	metadata["HEDDLE_FEATURES"] = features
	m, err := structpb.NewStruct(metadata)
	if err != nil {
		return nil, fmt.Errorf("build node metadata: %w", err)
	}
	n := &corev3.Node{
		Id: fmt.Sprintf("%s~%s~%s.%s~%s.%s", w.Kind, ips[0], w.Name, w.Namespace, w.Namespace, w.Services()), Cluster: w.cluster(), Metadata: m,
		UserAgentName: w.Agent, UserAgentVersionType: &corev3.Node_UserAgentVersion{UserAgentVersion: w.Version},
	}
	if r, z, s := w.Place(); r+z+s != "" {
		n.Locality = &corev3.Locality{Region: r, Zone: z, SubZone: s}
	}
	return n, nil
}

// cluster is Istio's service cluster: APP.NAMESPACE.
func (w *Workload) cluster() string {
	if app := w.Labels["app"]; app != "" {
		return app + "." + w.Namespace
	}
	return w.Name + "." + w.Namespace
}
