package kube

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
)

// deployAgain is how often everything is applied again, whatever somebody did to it.
const deployAgain = time.Minute

// Deployment is a set of objects that the cluster shall have.
type Deployment struct {
	Mark    map[string]string // labels of every object; what has them and is not wanted is removed
	Kinds   []schema.GroupVersionKind
	Want    func() (Wanted, bool) // false: it is not known, and nothing is touched
	Changed <-chan struct{}       // Want gives something else now
}

// Wanted are objects as they shall be, and the names of others that stay as they are, if they are there.
type Wanted struct {
	Objects []*unstructured.Unstructured
	Stay    []types.NamespacedName
}

// Deploy keeps the cluster as wanted until ctx ends. An object of the same name that is somebody else's is left alone, and told.
func (c *Client) Deploy(ctx context.Context, d Deployment, log *slog.Logger) {
	w := deployer{client: c, d: d, log: log, said: map[string]string{}}
	again := time.NewTicker(deployAgain)
	defer again.Stop()
	for {
		pause := (<-chan time.Time)(nil)
		if !w.once(ctx) {
			pause = time.After(2 * time.Second)
		}
		select {
		case <-ctx.Done():
			return
		case <-d.Changed:
		case <-pause:
		case <-again.C:
			w.done = nil
		}
	}
}

type deployer struct {
	client *Client
	d      Deployment
	log    *slog.Logger
	done   map[string][]byte // what was applied, by kind and name
	said   map[string]string // errors that were told
}

// once applies what has changed and removes what is not wanted; it says whether all went well.
func (w *deployer) once(ctx context.Context) bool {
	wanted, known := w.d.Want()
	if !known {
		return true // until Changed
	}
	ok, fresh := true, map[string][]byte{}
	for _, name := range wanted.Stay {
		for _, gvk := range w.d.Kinds {
			fresh[gvk.Kind+" "+name.String()] = nil
		}
	}
	for _, u := range wanted.Objects {
		key := u.GetKind() + " " + u.GetNamespace() + "/" + u.GetName()
		text, err := u.MarshalJSON()
		if err == nil && !bytes.Equal(w.done[key], text) {
			err = w.apply(ctx, u)
		}
		if w.tell(key, err); err != nil {
			ok, text = false, nil
		}
		fresh[key] = text // also one that failed is wanted
	}
	if err := w.prune(ctx, fresh); err != nil {
		w.tell("", err)
		ok = false
	}
	w.done = fresh
	return ok && ctx.Err() == nil
}

func (w *deployer) at(gvk schema.GroupVersionKind, namespace string) dynamic.ResourceInterface {
	plural, _ := meta.UnsafeGuessKindToResource(gvk)
	return w.client.dynamic.Resource(plural).Namespace(namespace)
}

func (w *deployer) apply(ctx context.Context, u *unstructured.Unstructured) error {
	at := w.at(u.GroupVersionKind(), u.GetNamespace())
	have, err := at.Get(ctx, u.GetName(), metav1.GetOptions{})
	switch {
	case err == nil && !labels.SelectorFromSet(w.d.Mark).Matches(labels.Set(have.GetLabels())):
		return fmt.Errorf("there is a %s %s/%s of somebody else; rename or remove it", u.GetKind(), u.GetNamespace(), u.GetName())
	case err != nil && !apierrors.IsNotFound(err):
		return err
	}
	_, err = at.Apply(ctx, u.GetName(), u, metav1.ApplyOptions{FieldManager: fieldManager, Force: true})
	if details := (*apierrors.StatusError)(nil); errors.As(err, &details) && apierrors.IsNotFound(err) && details.ErrStatus.Details != nil && details.ErrStatus.Details.Kind == "namespaces" {
		return fmt.Errorf("there is no namespace %s in the %s: make it there, or move the Gateway: %w", u.GetNamespace(), w.client.Role, err)
	}
	return err
}

func (w *deployer) prune(ctx context.Context, wanted map[string][]byte) error {
	for _, gvk := range w.d.Kinds {
		list, err := w.at(gvk, "").List(ctx, metav1.ListOptions{LabelSelector: labels.SelectorFromSet(w.d.Mark).String()})
		if err != nil {
			return err
		}
		for _, u := range list.Items {
			key := gvk.Kind + " " + u.GetNamespace() + "/" + u.GetName()
			if _, ok := wanted[key]; ok || u.GetDeletionTimestamp() != nil {
				continue
			}
			if err := w.at(gvk, u.GetNamespace()).Delete(ctx, u.GetName(), metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
				return err
			}
			w.log.Info("removed: no gateway wants it any more", "object", key)
		}
	}
	return nil
}

// tell logs an error once.
func (w *deployer) tell(key string, err error) {
	if err == nil {
		delete(w.said, key)
		return
	}
	if w.said[key] != err.Error() {
		w.said[key] = err.Error()
		w.log.Warn("a gateway's workloads cannot be made; trying again", "object", key, "error", err)
	}
}
