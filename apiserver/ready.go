package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	genericapiserver "k8s.io/apiserver/pkg/server"
)

// addSetup makes what must exist before the first user: /readyz stays red until
// the hook returns. A failure is sent to failed, as upstream would end the
// process with a stack trace.
func (c *chain) addSetup(all []definition, failed chan<- error) error {
	return c.native.AddPostStartHook("heddle-setup", func(hook genericapiserver.PostStartHookContext) error {
		if err := c.setup(hook, all); err != nil && hook.Err() == nil {
			failed <- err
			<-hook.Done() // never ready
		}
		return nil
	})
}

func (c *chain) setup(ctx context.Context, all []definition) error {
	if err := c.makeNamespaces(ctx); err != nil {
		return err
	}
	if err := c.grantHeddled(ctx); err != nil {
		return err
	}
	if err := c.installDefinitions(ctx, all); err != nil {
		return err
	}
	if err := c.startControllers(ctx); err != nil {
		return err
	}
	return c.waitAccounts(ctx)
}

// makeNamespaces does at once what upstream's controller does within a minute.
func (c *chain) makeNamespaces(ctx context.Context) error {
	for _, name := range c.cfg.systemNamespaces() {
		ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
		_, err := c.client.CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("make namespace %s: %w", name, err)
		}
	}
	return nil
}

// waitAccounts waits for the default account of each system namespace.
func (c *chain) waitAccounts(ctx context.Context) error {
	lister := c.informers.Core().V1().ServiceAccounts().Lister()
	return wait.PollUntilContextCancel(ctx, 10*time.Millisecond, true, func(context.Context) (bool, error) {
		for _, ns := range c.cfg.systemNamespaces() {
			if _, err := lister.ServiceAccounts(ns).Get("default"); err != nil {
				return false, nil
			}
		}
		return true, nil
	})
}

// waitReady returns when /readyz says so.
func (c *chain) waitReady(ctx context.Context) error {
	client := c.client.CoreV1().RESTClient()
	return wait.PollUntilContextCancel(ctx, 50*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		var code int
		client.Get().AbsPath("/readyz").Do(ctx).StatusCode(&code)
		return code == http.StatusOK, nil
	})
}
