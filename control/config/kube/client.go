// Package kube is the Kubernetes API as heddled uses it: objects in, status and the webhook's registration out, tokens reviewed, one leader chosen.
//
// In: a kubeconfig, or two where what users configure is in another API than the pods. Out: objects in config.Store, each kind under an owner of its own. Watch errors
// keep what was last seen. Safe for concurrent use.
package kube

import (
	"errors"
	"fmt"
	"os"

	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// InCluster as a kubeconfig means the service account of the Pod that heddled runs in.
const InCluster = "in-cluster"

// Client holds the clients of one Kubernetes API.
type Client struct {
	Role      Role
	Host      string
	dynamic   dynamic.Interface
	discovery discovery.DiscoveryInterface
	typed     kubernetes.Interface
	reviews   kubernetes.Interface // of tokens
}

// A fleet of proxies comes back at once when heddled was started again, each with two tokens to review. That is why reviews have a budget of their own: in the line
// with all other calls they would hold up the Lease until another replica takes it.
const reviewsPerSecond, reviewsAtOnce = 500, 1000

// Open reads a kubeconfig and makes the clients; it does not call the API yet.
func Open(role Role, kubeconfig string) (*Client, error) {
	cfg, err := load(role, kubeconfig)
	if err != nil {
		return nil, err
	}
	// Status writes and watches are few; the budgets only bound a mistake.
	cfg.QPS, cfg.Burst, cfg.UserAgent = 100, 200, "heddled"
	c := &Client{Role: role, Host: cfg.Host}
	if c.dynamic, err = dynamic.NewForConfig(cfg); err != nil {
		return nil, fmt.Errorf("use %s %s: %w", role.flag(), kubeconfig, err)
	}
	if c.typed, err = kubernetes.NewForConfig(cfg); err != nil {
		return nil, fmt.Errorf("use %s %s: %w", role.flag(), kubeconfig, err)
	}
	c.discovery = c.typed.Discovery()
	cfg.QPS, cfg.Burst = reviewsPerSecond, reviewsAtOnce
	if c.reviews, err = kubernetes.NewForConfig(cfg); err != nil {
		return nil, fmt.Errorf("use %s %s: %w", role.flag(), kubeconfig, err)
	}
	return c, nil
}

func load(role Role, kubeconfig string) (*rest.Config, error) {
	if kubeconfig == InCluster {
		cfg, err := rest.InClusterConfig()
		if err != nil {
			return nil, fmt.Errorf("use the Pod's service account: %w; outside a cluster give %s FILE", err, role.flag())
		}
		return cfg, nil
	}
	if _, err := os.Stat(kubeconfig); errors.Is(err, os.ErrNotExist) {
		if role == Only {
			return nil, fmt.Errorf("kubeconfig %s does not exist; give --kubeconfig another path, or --config-dir DIR to run without a Kubernetes API", kubeconfig)
		}
		return nil, fmt.Errorf("kubeconfig %s of the %s does not exist; give %s another path", kubeconfig, role, role.flag())
	}
	cfg, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("read %s %s: %w", role.flag(), kubeconfig, err)
	}
	return cfg, nil
}
