package server

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/heddle-mesh/heddle/control/ca"
	"github.com/heddle-mesh/heddle/control/config/kube"
	"github.com/heddle-mesh/heddle/control/inject"
)

// lookAtOwner is how often heddled looks whether its owner is still the same.
const lookAtOwner = 30 * time.Second

// asking bounds what is asked of the Kubernetes API before heddled runs.
const asking = 30 * time.Second

// rootKey is the file under which proxies find the roots in their ConfigMap; it is Istio's.
const rootKey = "root-cert.pem"

// knock is how often an API is asked that does not answer yet.
const knock = 2 * time.Second

// openAuthority opens the folder of the certificate authority, which first gets what the Secret keeps for all replicas.
func (d *Server) openAuthority(ctx context.Context) (err error) {
	if d.opts.CADir == "" {
		return nil
	}
	if d.apis.cluster != nil && (d.opts.Owner != "" || d.opts.CASecret != "") {
		if err := d.awaitTrust(ctx); err != nil {
			return err
		}
	}
	d.authority, err = ca.Open(d.opts.CADir, d.opts.domain)
	return err
}

// awaitTrust gets what the cluster keeps for heddled. An API that is away is no reason to end: the kubelet would start heddled again after longer and longer pauses, of
// which the last would go on when the API is back.
func (d *Server) awaitTrust(ctx context.Context) error {
	for told := false; ; told = true {
		err := d.readTrust(ctx)
		if err == nil || !kube.Away(err) {
			return err
		}
		if !told {
			d.log.Warn("heddled starts when the API answers", "part", "cluster", "error", err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("heddled was ended before the API answered: %w", err)
		case <-time.After(knock):
		}
	}
}

func (d *Server) readTrust(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, asking)
	defer cancel()
	if d.owners, err = d.apis.cluster.Owners(ctx, d.opts.Owner); err != nil || d.opts.CASecret == "" {
		return err
	}
	return d.restoreAuthority(ctx)
}

func (d *Server) restoreAuthority(ctx context.Context) error {
	files, err := d.apis.cluster.KeepSecret(ctx, d.opts.Namespace, d.opts.CASecret, func() (map[string][]byte, error) {
		dir, err := os.MkdirTemp(d.opts.StateDir, "new-ca-")
		if err != nil {
			return nil, fmt.Errorf("make an authority: %w", err)
		}
		defer func() { _ = os.RemoveAll(dir) }() // a temporary folder
		if _, err := ca.Open(dir, d.opts.domain); err != nil {
			return nil, err
		}
		return ca.Files(dir)
	})
	if err != nil {
		return err
	}
	if err := ca.Restore(d.opts.CADir, files); err != nil {
		return fmt.Errorf("the Secret %s/%s: %w", d.opts.Namespace, d.opts.CASecret, err)
	}
	return nil
}

// tellCluster keeps the cluster told of what verifies heddled: every namespace for its proxies, and the API for the webhook that injects.
func (d *Server) tellCluster(ctx context.Context) error {
	log := d.log.With("part", "cluster")
	if d.opts.InjectWebhook != "" {
		go d.apis.cluster.Vouch(ctx, d.opts.InjectWebhook, d.authority.Roots(), log)
	}
	file, err := inject.ReadConfig(d.opts.InjectConfig)
	if err != nil {
		return err
	}
	go d.apis.cluster.Spread(ctx, kube.Roots{Name: file.RootConfigMap, Data: map[string]string{rootKey: string(d.authority.Roots())}, Owners: d.owners}, log)
	return d.sameOwner(ctx)
}

// sameOwner ends heddled when its owner was made anew: what names the old one would be collected again and again. It is started again, and finds the new one.
func (d *Server) sameOwner(ctx context.Context) error {
	tick := time.NewTicker(lookAtOwner)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now, err := d.apis.cluster.Owners(ctx, d.opts.Owner)
		if err == nil && !slices.EqualFunc(now, d.owners, func(a, b metav1.OwnerReference) bool { return a.UID == b.UID }) {
			return fmt.Errorf("the ClusterRole %s was made anew; heddled must be started again to belong to it", d.opts.Owner)
		}
	}
}

// ownerReferences are empty without --owner.
type ownerReferences = []metav1.OwnerReference
