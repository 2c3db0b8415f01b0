package main

import (
	"context"
	"fmt"
	"net"
	"strings"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	networkingv1 "k8s.io/api/networking/v1"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/admission/plugin/namespace/lifecycle"
	mutatingpolicy "k8s.io/apiserver/pkg/admission/plugin/policy/mutating"
	validatingpolicy "k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	mutatingwebhook "k8s.io/apiserver/pkg/admission/plugin/webhook/mutating"
	validatingwebhook "k8s.io/apiserver/pkg/admission/plugin/webhook/validating"
	serverstorage "k8s.io/apiserver/pkg/server/storage"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/kubernetes/pkg/controlplane"
	"k8s.io/kubernetes/pkg/controlplane/apiserver/options"
	kubeoptions "k8s.io/kubernetes/pkg/kubeapiserver/options"
	"k8s.io/kubernetes/plugin/pkg/admission/serviceaccount"
)

// issuer names the server in service account tokens, as Kubernetes does, so that
// tools with that name built in accept them.
const issuer = "https://kubernetes.default.svc.cluster.local"

// istioNamespace is the root namespace of a mesh that says nothing else.
const istioNamespace = "istio-system"

// systemNamespaces exist from the start, and again when somebody removes them.
func (c *config) systemNamespaces() []string {
	return []string{"default", "kube-system", c.rootNamespace}
}

// admissionPlugins are the ones on: those that keep namespaces and accounts
// consistent, and those through which heddled and users add rules. The rest
// defends parts of Kubernetes (pods, volumes, quota) that do not run here.
var admissionPlugins = sets.New(
	lifecycle.PluginName,
	serviceaccount.PluginName,
	mutatingpolicy.PluginName,
	mutatingwebhook.PluginName,
	validatingpolicy.PluginName,
	validatingwebhook.PluginName,
)

// unservedCore are core kinds without any meaning for a mesh. A user who writes
// one is told that it does not exist, instead of nothing happening.
var unservedCore = []string{
	"bindings", "componentstatuses", "limitranges", "persistentvolumeclaims",
	"persistentvolumes", "podtemplates", "replicationcontrollers", "resourcequotas",
}

var unservedNetworking = []string{"networkpolicies"}

// servedResources says which groups and kinds are served.
func servedResources() *serverstorage.ResourceConfig {
	served := controlplane.DefaultGenericAPIResourceConfigSource()
	served.EnableVersions(discoveryv1.SchemeGroupVersion, networkingv1.SchemeGroupVersion)
	served.DisableVersions(certificatesv1.SchemeGroupVersion, flowcontrolv1.SchemeGroupVersion)
	for _, r := range unservedCore {
		served.DisableResources(corev1.SchemeGroupVersion.WithResource(r))
	}
	for _, r := range unservedNetworking {
		served.DisableResources(networkingv1.SchemeGroupVersion.WithResource(r))
	}
	return served
}

// serverOptions fills upstream's options from ours. The listener is open already.
func serverOptions(ctx context.Context, cfg *config, p *pki, listener net.Listener, endpoints []string) (options.CompletedOptions, error) {
	// One server needs no lease that tells it from its peers.
	if err := utilfeature.DefaultMutableFeatureGate.SetFromMap(map[string]bool{
		"APIServerIdentity": false, "UnknownVersionInteroperabilityProxy": false,
	}); err != nil {
		return options.CompletedOptions{}, fmt.Errorf("feature gates: %w", err)
	}
	o := options.NewOptions()
	o.SystemNamespaces = cfg.systemNamespaces()
	o.GenericServerRunOptions.AdvertiseAddress = listener.Addr().(*net.TCPAddr).IP
	o.GenericServerRunOptions.RequestTimeout = time.Minute
	o.SecureServing.Listener = listener
	o.SecureServing.ServerCert.CertKey.CertFile = p.path("serving.crt")
	o.SecureServing.ServerCert.CertKey.KeyFile = p.path("serving.key")
	o.Authentication.ClientCert.ClientCA = p.path("ca.crt")
	o.Authentication.ServiceAccounts.Issuers = []string{issuer}
	o.Authentication.ServiceAccounts.KeyFiles = []string{p.path("service-accounts.key")}
	o.ServiceAccountSigningKeyFile = p.path("service-accounts.key")
	o.Authorization.Modes = []string{"RBAC"}
	o.Admission.GenericAdmission.DefaultOffPlugins = sets.New(kubeoptions.AllOrderedPlugins...).Difference(admissionPlugins)
	o.Features.EnableProfiling = false
	// Fair queueing between tenants costs memory and start-up time; the limits of
	// requests in flight protect the server all the same.
	o.Features.EnablePriorityAndFairness = false
	storageOptions(o, cfg, endpoints)
	done, err := o.Complete(ctx, nil, nil)
	if err != nil {
		return done, fmt.Errorf("server options: %w", err)
	}
	if errs := done.Validate(); len(errs) > 0 {
		return done, fmt.Errorf("server options: %w", utilerrors.NewAggregate(errs))
	}
	return done, nil
}

func storageOptions(o *options.Options, cfg *config, endpoints []string) {
	transport := &o.Etcd.StorageConfig.Transport
	transport.ServerList = endpoints
	transport.TrustedCAFile, transport.CertFile, transport.KeyFile = cfg.etcdTLS.ca, cfg.etcdTLS.cert, cfg.etcdTLS.key
	o.Etcd.StorageConfig.Prefix = cfg.etcdPrefix
	o.Etcd.DefaultWatchCacheSize = cfg.watchCache
	// Events are many and nobody watches them all; kinds that are not served need
	// no cache either, though upstream makes their storage.
	uncached := []string{"events", "events.events.k8s.io"}
	uncached = append(uncached, unservedCore...)
	for _, r := range uncached {
		o.Etcd.WatchCacheSizes = append(o.Etcd.WatchCacheSizes, strings.Join([]string{r, "0"}, "#"))
	}
}
