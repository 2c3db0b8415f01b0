package cli

import (
	"fmt"

	"github.com/spf13/pflag"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// cluster are the flags that say which Kubernetes API is meant; they are kubectl's.
type cluster struct{ kubeconfig, context string }

func (f *cluster) flags(s *pflag.FlagSet) {
	s.StringVar(&f.kubeconfig, "kubeconfig", "", "kubeconfig file (default: $KUBECONFIG, or ~/.kube/config)")
	s.StringVar(&f.context, "context", "", "context of the kubeconfig")
}

func (f *cluster) open() (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = f.kubeconfig
	c, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: f.context}).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("find the cluster: %w; give --kubeconfig FILE, or set KUBECONFIG", err)
	}
	c.QPS, c.Burst, c.UserAgent = 100, 200, "heddle"
	return c, nil
}
