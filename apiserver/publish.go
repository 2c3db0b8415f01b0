package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	applycorev1 "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/kubernetes"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// accountNamespace is where a Pod reads the namespace that it is in.
const accountNamespace = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

// publisher keeps the kubeconfig files in two Secrets of the cluster in which the
// server runs as a Pod: PREFIX-admin for people, and PREFIX-heddled with the
// client's key pair as files of their own, since a mounted pair that is renewed
// is read again by whoever uses it.
type publisher struct {
	secrets           corev1client.SecretInterface
	namespace, prefix string
}

// openPublisher makes the client of the Pod's own account; nil without a prefix.
func openPublisher(prefix string) (*publisher, error) {
	if prefix == "" {
		return nil, nil
	}
	cfg, err := rest.InClusterConfig()
	if err != nil {
		return nil, fmt.Errorf("--publish needs a Pod with a service account: %w", err)
	}
	namespace, err := os.ReadFile(accountNamespace)
	if err != nil {
		return nil, fmt.Errorf("--publish: find the Pod's namespace: %w", err)
	}
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("--publish: %w", err)
	}
	ns := strings.TrimSpace(string(namespace))
	return &publisher{secrets: client.CoreV1().Secrets(ns), namespace: ns, prefix: prefix}, nil
}

// publish writes both Secrets.
func (p *publisher) publish(ctx context.Context, keys *pki, server string) error {
	all, err := keys.published(server)
	if err != nil {
		return err
	}
	for suffix, data := range all {
		secret := applycorev1.Secret(p.prefix+"-"+suffix, p.namespace).WithData(data)
		if _, err := p.secrets.Apply(ctx, secret, metav1.ApplyOptions{FieldManager: "heddle-apiserver", Force: true}); err != nil {
			return fmt.Errorf("--publish: write the Secret %s/%s-%s: %w", p.namespace, p.prefix, suffix, err)
		}
	}
	return nil
}

// follow publishes until it succeeds, and again whenever certificates may have
// been renewed, until ctx ends.
func (p *publisher) follow(ctx context.Context, keys *pki, server string, renewed <-chan struct{}, log *slog.Logger) {
	for {
		err := p.publish(ctx, keys, server)
		retry := (<-chan time.Time)(nil)
		if err != nil && ctx.Err() == nil {
			log.Error("the kubeconfig files are not published; trying again", "error", err)
			retry = time.After(5 * time.Second)
		}
		select {
		case <-ctx.Done():
			return
		case <-renewed:
		case <-retry:
		}
	}
}

// published is what the Secrets hold, by the end of their names.
func (p *pki) published(server string) (map[string]map[string][]byte, error) {
	ca, err := os.ReadFile(p.path("ca.crt"))
	if err != nil {
		return nil, err
	}
	admin, err := p.adminKubeconfig(server, ca)
	if err != nil {
		return nil, err
	}
	// Relative to the kubeconfig file.
	text, err := encodeKubeconfig(server, ca, heddledClient.user, &clientcmdapi.AuthInfo{ClientCertificate: "client.crt", ClientKey: "client.key"})
	if err != nil {
		return nil, err
	}
	heddled := map[string][]byte{"kubeconfig": text}
	for name, end := range map[string]string{"client.crt": ".crt", "client.key": ".key"} {
		if heddled[name], err = os.ReadFile(p.path(heddledClient.file + end)); err != nil {
			return nil, err
		}
	}
	return map[string]map[string][]byte{"admin": {"kubeconfig": admin}, "heddled": heddled}, nil
}
