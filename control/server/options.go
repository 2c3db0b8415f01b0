package server

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/heddle-mesh/heddle/identity"
	"github.com/heddle-mesh/heddle/internal/loopback"
	"github.com/heddle-mesh/heddle/mesh"
)

// Options are the settings of one heddled, under the names of its flags.
type Options struct {
	ConfigDir, Kubeconfig string // one of the two: a folder of YAML, or the Kubernetes API
	ClusterKubeconfig     string // the API of the cluster with the pods, where Kubeconfig is that of another; "" is the same
	MeshConfig            string // file with Istio's MeshConfig
	MeshNetworks          string // file with Istio's MeshNetworks
	XDSAddress            string // plain text; "" for none
	XDSTLSAddress         string // with certificates; "" for none
	XDSSockets            []string
	HTTPAddress           string // /ready, /metrics, /version, /debug
	WebhookAddress        string // "" for none
	WebhookURL            string // "" is made from the address
	WebhookName           string // of the validating webhook's registration; "" is made from the namespace
	InjectWebhook         string // MutatingWebhookConfiguration that gets the authority's roots; "" for none
	CASecret              string // Secret that keeps the certificate authority; "" for none
	Owner                 string // ClusterRole that owns what heddled makes in the cluster; "" for none
	GatewayFamilies       string // ipFamilyPolicy of the Services of deployed gateways; "" leaves it to the cluster
	InjectConfig          string // file with the settings of injection; "" is their defaults
	TokenFile             string // bearer token of /debug; made if it does not exist
	JoinTokens            string // folder
	CADir, StateDir       string // folders; made if they do not exist
	AllowAnonymous        bool
	TrustDomain           string // "" is that of the mesh config
	ClusterID, Network    string
	Namespace             string // heddled's own; "" is the root namespace
	TLSNames              []string
	Quiet, Max            time.Duration // see snapshot.Timing
	EntryGrace            time.Duration // see register.Options
	LeaderElection        bool
	Version               string
	Log                   *slog.Logger // nil is silent

	domain identity.TrustDomain
}

// complete says what is missing, one sentence each, and fills in what follows from other options.
func (o *Options) complete() error {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.ClusterID == "" {
		o.ClusterID = string(mesh.DefaultCluster)
	}
	if o.Network == "" {
		o.Network = string(mesh.DefaultNetwork)
	}
	switch {
	case o.ConfigDir == "" && o.Kubeconfig == "":
		return errors.New("nothing to read: give --config-dir DIR (a folder of YAML) or --kubeconfig FILE (a Kubernetes API)")
	case o.ConfigDir != "" && o.Kubeconfig != "":
		return errors.New("give only one of --config-dir and --kubeconfig")
	case o.ConfigDir != "" && o.ClusterKubeconfig != "":
		return errors.New("--cluster-kubeconfig names the API of the pods beside that of --kubeconfig FILE; it does not go with --config-dir")
	case o.XDSTLSAddress != "" && o.CADir == "" && o.StateDir == "":
		return errors.New("--xds-tls-address needs a certificate authority: give --ca-dir DIR")
	case o.WebhookAddress != "" && o.CADir == "" && o.StateDir == "":
		return errors.New("--webhook-address needs a certificate authority: give --ca-dir DIR")
	case o.ConfigDir != "" && (o.CASecret != "" || o.Owner != "" || o.InjectWebhook != ""):
		return errors.New("--ca-secret, --owner and --inject-webhook need a Kubernetes API: give --kubeconfig FILE")
	case o.GatewayFamilies != "" && !slices.Contains([]string{"SingleStack", "PreferDualStack", "RequireDualStack"}, o.GatewayFamilies):
		return fmt.Errorf("--gateway-ip-family-policy %q is not one of SingleStack, PreferDualStack and RequireDualStack", o.GatewayFamilies)
	case o.CASecret != "" && o.CADir == "" && o.StateDir == "":
		return errors.New("--ca-secret needs a folder for what is in it: give --state-dir DIR")
	}
	if o.ClusterKubeconfig == o.Kubeconfig {
		o.ClusterKubeconfig = "" // one API, which can own what is made for its objects
	}
	if o.AllowAnonymous && o.XDSAddress != "" && !loopback.Is(o.XDSAddress) {
		return fmt.Errorf("--allow-anonymous-xds is possible on loopback only: --xds-address %s is not; write 127.0.0.1:PORT", o.XDSAddress)
	}
	if o.StateDir != "" {
		if err := os.MkdirAll(o.StateDir, 0o700); err != nil {
			return fmt.Errorf("make the state folder: %w; change --state-dir", err)
		}
		if o.CADir == "" {
			o.CADir = filepath.Join(o.StateDir, "ca")
		}
		if o.TokenFile == "" {
			o.TokenFile = filepath.Join(o.StateDir, "debug-token")
		}
	}
	if o.TokenFile == "" {
		// The name follows the port, so that who asks can find it.
		_, port, _ := net.SplitHostPort(o.HTTPAddress)
		dir := filepath.Join(os.TempDir(), fmt.Sprintf("heddled-%d-%s", os.Getuid(), port))
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("make a folder for the debug token: %w; give --token-file FILE", err)
		}
		o.TokenFile = filepath.Join(dir, "debug-token")
	}
	return nil
}

func (o *Options) state(name string) string {
	if o.StateDir == "" {
		return ""
	}
	return filepath.Join(o.StateDir, name)
}
