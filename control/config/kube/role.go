package kube

import (
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/heddle-mesh/heddle/api"
)

// Role says what an API is for. A mesh has one API for everything, or one for what users configure and one for the cluster that runs the pods.
type Role uint8

// The zero Role is that of an only API.
const (
	Only    Role = iota
	Config       // Istio's and the Gateway API's kinds, their status, and the webhook that validates them
	Cluster      // Kubernetes' own kinds, and everything that heddled does for pods
)

// String names the API in messages, and is the name under which its source tells config.Store that it is synced.
func (r Role) String() string {
	switch r {
	case Config:
		return "configuration API"
	case Cluster:
		return "cluster's API"
	}
	return "Kubernetes API"
}

// flag is where its kubeconfig is given.
func (r Role) flag() string {
	if r == Cluster {
		return "--cluster-kubeconfig"
	}
	return "--kubeconfig"
}

// Reads says whether objects of a kind come from the API: each comes from one only.
func (r Role) Reads(k *api.Kind) bool {
	dialect := k.Istio() || k.Gateway()
	return r == Only || (r == Config) == dialect
}

// explain says which API an error came from and, where its credentials are wrong, what to look at.
func (c *Client) explain(err error) error {
	if apierrors.IsUnauthorized(err) {
		return fmt.Errorf("the %s at %s does not accept heddled's credentials: %w; look at %s", c.Role, c.Host, err, c.Role.flag())
	}
	return fmt.Errorf("the %s at %s: %w", c.Role, c.Host, err)
}
