package check

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Names of the chart and of the control plane.
const (
	rootMap     = "istio-ca-root-cert"
	rootKey     = "root-cert.pem"
	caSecret    = "heddle-ca"
	caKey       = "ca-cert.pem"
	leaderLease = "heddled-leader"
	configAPI   = "heddle-config-api"
)

// soon is how long before its end the authority is spoken of.
const soon = 60 * 24 * time.Hour

// name is the Deployment of the revision.
func (s *state) name() string {
	if s.Revision == "" || s.Revision == "default" {
		return "heddled"
	}
	return "heddled-" + s.Revision
}

func controlPlane() []one {
	const category, certificates = "control-plane", "certificates"
	return []one{
		{category, "it is installed", "install it with: heddle install", true, installed},
		{category, "every Deployment of it runs", "look at: kubectl -n NAMESPACE get pods,events", false, runs},
		{category, "the API for what users configure answers", "look at: kubectl -n NAMESPACE describe pod heddle-config-api-0; until it is back, what was last seen stays in effect", false, hosted},
		{category, "its version is that of this program", "run heddle install again, or use the heddle of that version", false, sameVersion},
		{category, "one replica leads", "look at the log of heddled; without a leader no status is written", false, leads},
		{category, "it may read what the mesh is made of", "run heddle install again, which writes its ClusterRole; until then the objects last seen stay in effect", false, reads},
		{category, "definitions have the versions that it reads", "upgrade these definitions; their objects are not seen", false, definitions},
		{certificates, "the authority is valid for 60 days more", "put another authority into the Secret " + caSecret + " and restart heddled", false, authority},
		{certificates, "every namespace has the roots", "look at the log of heddled, which writes them", false, roots},
	}
}

func installed(ctx context.Context, s *state) error {
	_, err := s.Typed.AppsV1().Deployments(s.Namespace).Get(ctx, s.name(), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("there is no Deployment %s in namespace %s", s.name(), s.Namespace)
	}
	return err
}

// deployments are those of the installation.
func (s *state) deployments(ctx context.Context) ([]appsv1.Deployment, error) {
	own, err := s.Typed.AppsV1().Deployments(s.Namespace).Get(ctx, s.name(), metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	list, err := s.Typed.AppsV1().Deployments(s.Namespace).List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/part-of=heddle,app.kubernetes.io/instance=" + own.Labels["app.kubernetes.io/instance"]})
	if err != nil {
		return nil, err
	}
	return list.Items, nil
}

func runs(ctx context.Context, s *state) error {
	all, err := s.deployments(ctx)
	if err != nil {
		return err
	}
	var bad []string
	for _, d := range all {
		want := int32(1)
		if d.Spec.Replicas != nil {
			want = *d.Spec.Replicas
		}
		if d.Status.ObservedGeneration < d.Generation || d.Status.AvailableReplicas < want || d.Status.UpdatedReplicas < want {
			bad = append(bad, fmt.Sprintf("%d of %d pods of %s are ready", min(d.Status.AvailableReplicas, d.Status.UpdatedReplicas), want, d.Name))
		}
	}
	if len(bad) > 0 {
		return errors.New(some(bad))
	}
	return nil
}

// hosted looks at the API of the mesh's own, if there is one. Its pod is ready while it answers.
func hosted(ctx context.Context, s *state) error {
	api, err := s.Typed.AppsV1().StatefulSets(s.Namespace).Get(ctx, configAPI, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return errNothing
	case err != nil:
		return err
	case api.Status.AvailableReplicas < 1:
		return fmt.Errorf("the pod of %s is not ready", configAPI)
	}
	return nil
}

func sameVersion(ctx context.Context, s *state) error {
	d, err := s.Typed.AppsV1().Deployments(s.Namespace).Get(ctx, s.name(), metav1.GetOptions{})
	if err != nil {
		return err
	}
	if have := d.Labels["app.kubernetes.io/version"]; have != s.Version {
		return warn("it is %s, this program %s", have, s.Version)
	}
	return nil
}

func leads(ctx context.Context, s *state) error {
	l, err := s.Typed.CoordinationV1().Leases(s.Namespace).Get(ctx, leaderLease, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return warn("nobody has led yet")
	}
	if err != nil {
		return err
	}
	if l.Spec.HolderIdentity == nil || *l.Spec.HolderIdentity == "" || l.Spec.RenewTime == nil || time.Since(l.Spec.RenewTime.Time) > time.Minute {
		return warn("the Lease %s has not been renewed for a minute", leaderLease)
	}
	return nil
}

func authority(ctx context.Context, s *state) error {
	secret, err := s.Typed.CoreV1().Secrets(s.Namespace).Get(ctx, caSecret, metav1.GetOptions{})
	if apierrors.IsForbidden(err) {
		return warn("you may not read the Secret %s", caSecret)
	}
	if err != nil {
		return err
	}
	s.roots = string(secret.Data[rootKey])
	block, _ := pem.Decode(secret.Data[caKey])
	if block == nil {
		return fmt.Errorf("the Secret %s has no certificate under %s", caSecret, caKey)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return fmt.Errorf("the Secret %s: %w", caSecret, err)
	}
	switch left := time.Until(cert.NotAfter); {
	case left <= 0:
		return fmt.Errorf("it ended on %s: no certificate is valid any more", cert.NotAfter.UTC().Format(time.DateOnly))
	case left < soon:
		return warn("it ends on %s", cert.NotAfter.UTC().Format(time.DateOnly))
	}
	return nil
}

func roots(ctx context.Context, s *state) error {
	spaces, err := s.Typed.CoreV1().Namespaces().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	maps, err := s.Typed.CoreV1().ConfigMaps("").List(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + rootMap})
	if err != nil {
		return err
	}
	have := map[string]string{}
	for _, m := range maps.Items {
		if m.Name == rootMap {
			have[m.Namespace] = m.Data[rootKey]
		}
	}
	var without, other []string
	for _, ns := range spaces.Items {
		switch text, ok := have[ns.Name]; {
		case ns.DeletionTimestamp != nil:
		case !ok:
			without = append(without, ns.Name)
		case s.roots != "" && strings.TrimSpace(text) != strings.TrimSpace(s.roots):
			other = append(other, ns.Name)
		}
	}
	slices.Sort(without)
	slices.Sort(other)
	if len(without) > 0 {
		return fmt.Errorf("they are missing in %s", some(without))
	}
	if len(other) > 0 {
		return fmt.Errorf("they are those of another authority in %s", some(other))
	}
	return nil
}
