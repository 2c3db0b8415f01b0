// Command policy is the lab's enforcer of NetworkPolicy: it runs in a node's network namespace, follows the cluster's objects, and keeps one table of nftables. It is for
// tests: every change makes the whole table anew, and each node has the rules of all pods.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

func main() {
	kubeconfig := flag.String("kubeconfig", "", "kubeconfig of the cluster")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *kubeconfig); err != nil {
		fmt.Fprintln(os.Stderr, "policy:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, kubeconfig string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	factory := informers.NewSharedInformerFactory(kube, 0)
	policies, pods, spaces := factory.Networking().V1().NetworkPolicies(), factory.Core().V1().Pods(), factory.Core().V1().Namespaces()
	changed := make(chan struct{}, 1)
	tell := func() {
		select {
		case changed <- struct{}{}:
		default: // somebody has told already
		}
	}
	handler := cache.ResourceEventHandlerFuncs{AddFunc: func(any) { tell() }, UpdateFunc: func(_, _ any) { tell() }, DeleteFunc: func(any) { tell() }}
	for _, i := range []cache.SharedIndexInformer{policies.Informer(), pods.Informer(), spaces.Informer()} {
		if _, err := i.AddEventHandler(handler); err != nil {
			return err
		}
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	var have string
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
		var o Objects
		var errs [3]error
		o.Policies, errs[0] = policies.Lister().List(labels.Everything())
		o.Pods, errs[1] = pods.Lister().List(labels.Everything())
		o.Namespaces, errs[2] = spaces.Lister().List(labels.Everything())
		want := Table(o)
		if want == have {
			continue
		}
		err := errors.Join(errs[:]...)
		if err == nil {
			err = apply(ctx, want)
		}
		if err != nil {
			log.Print(err)
			time.AfterFunc(time.Second, tell)
			continue
		}
		have = want
		log.Printf("%d lines are in force", strings.Count(want, "\n"))
	}
}

// apply replaces the table in one transaction.
func apply(ctx context.Context, table string) error {
	cmd := exec.CommandContext(ctx, "nft", "-f", "-")
	cmd.Stdin = bytes.NewBufferString(table)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("nft: %w: %s", err, out)
	}
	return nil
}
