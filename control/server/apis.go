package server

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"time"

	"github.com/heddle-mesh/heddle/control/config"
	"github.com/heddle-mesh/heddle/control/config/kube"
	"github.com/heddle-mesh/heddle/control/status"
)

// apis are the Kubernetes APIs of one heddled. Without a second one both are the same, and with a folder there is none.
type apis struct {
	config  *kube.Client // what users configure: Istio's and the Gateway API's kinds
	cluster *kube.Client // where the pods are
	sources kube.Sources
}

// two says whether what users configure is in another API than the pods.
func (a *apis) two() bool { return a.config != a.cluster }

// status is where status is written; nil with a folder.
func (a *apis) status() status.Writer {
	if a.sources == nil {
		return nil
	}
	return a.sources
}

// openAPIs makes the clients, and a store that is complete when all of them have been read.
func (d *Server) openAPIs() (err error) {
	log := d.log.With("part", "config")
	if d.opts.ClusterKubeconfig == "" {
		if d.apis.config, err = kube.Open(kube.Only, d.opts.Kubeconfig); err != nil {
			return err
		}
		d.apis.cluster = d.apis.config
	} else {
		if d.apis.config, err = kube.Open(kube.Config, d.opts.Kubeconfig); err != nil {
			return err
		}
		if d.apis.cluster, err = kube.Open(kube.Cluster, d.opts.ClusterKubeconfig); err != nil {
			return err
		}
	}
	clients, names := []*kube.Client{d.apis.config}, []string{d.apis.config.Role.String()}
	if d.apis.two() {
		clients, names = append(clients, d.apis.cluster), append(names, d.apis.cluster.Role.String())
	}
	d.store = config.New(names...)
	for _, c := range clients {
		d.apis.sources = append(d.apis.sources, kube.NewSource(c, d.store, log))
	}
	d.source = d.apis.sources
	return nil
}

// lookAtKubeconfig is how often heddled looks whether the kubeconfig of a hosted API is still the same.
const lookAtKubeconfig = 15 * time.Second

// sameKubeconfig ends heddled when the configuration API was made anew, with another authority: its watches would never come back. It is started again, and reads the new
// file. Client certificates that are renewed in files beside it are read as they change, without this.
func (d *Server) sameKubeconfig(ctx context.Context) error {
	before, err := os.ReadFile(d.opts.Kubeconfig)
	if err != nil {
		return nil // the Pod's own account has no such file
	}
	tick := time.NewTicker(lookAtKubeconfig)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if now, err := os.ReadFile(d.opts.Kubeconfig); err == nil && !bytes.Equal(now, before) {
			return fmt.Errorf("--kubeconfig %s has changed; heddled must be started again to use it", d.opts.Kubeconfig)
		}
	}
}
