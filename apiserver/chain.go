package main

import (
	"fmt"
	"net"
	"time"

	apiextensionsserver "k8s.io/apiextensions-apiserver/pkg/apiserver"
	"k8s.io/apimachinery/pkg/runtime"
	genericfilters "k8s.io/apiserver/pkg/endpoints/filters"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/util/notfoundhandler"
	"k8s.io/apiserver/pkg/util/webhook"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	controlplaneserver "k8s.io/kubernetes/pkg/controlplane/apiserver"
	"k8s.io/kubernetes/pkg/controlplane/apiserver/options"
	"k8s.io/kubernetes/pkg/controlplane/controller/defaultservicecidr"
	generatedopenapi "k8s.io/kubernetes/pkg/generated/openapi"
	kubeoptions "k8s.io/kubernetes/pkg/kubeapiserver/options"
	kubeletclient "k8s.io/kubernetes/pkg/kubelet/client"
	admissionrest "k8s.io/kubernetes/pkg/registry/admissionregistration/rest"
	authenticationrest "k8s.io/kubernetes/pkg/registry/authentication/rest"
	authorizationrest "k8s.io/kubernetes/pkg/registry/authorization/rest"
	coordinationrest "k8s.io/kubernetes/pkg/registry/coordination/rest"
	corerest "k8s.io/kubernetes/pkg/registry/core/rest"
	discoveryrest "k8s.io/kubernetes/pkg/registry/discovery/rest"
	eventsrest "k8s.io/kubernetes/pkg/registry/events/rest"
	networkingrest "k8s.io/kubernetes/pkg/registry/networking/rest"
	rbacrest "k8s.io/kubernetes/pkg/registry/rbac/rest"
)

// chain is the two servers behind one address: native kinds first, and what they
// do not know goes to the server of custom kinds. Upstream puts an aggregator in
// front, for API servers elsewhere; there are none here, and without it memory
// and start-up time are lower. What it did for discovery and OpenAPI is done in
// discovery.go and openapi.go.
type chain struct {
	cfg       *config
	native    *genericapiserver.GenericAPIServer
	custom    *apiextensionsserver.CustomResourceDefinitions
	informers informers.SharedInformerFactory
	client    *kubernetes.Clientset
	loopback  *rest.Config
	openapi   *openapiConfigs
}

// newChain builds the servers; nothing is served yet.
func newChain(opts options.CompletedOptions, cfg *config) (*chain, error) {
	generic, shared, storage, err := controlplaneserver.BuildGenericConfig(opts,
		[]*runtime.Scheme{legacyscheme.Scheme, apiextensionsserver.Scheme},
		servedResources(), generatedopenapi.GetOpenAPIDefinitions)
	if err != nil {
		return nil, fmt.Errorf("configure server: %w", err)
	}
	resolver := webhook.NewDefaultServiceResolver()
	native, initializers, err := controlplaneserver.CreateConfig(opts, generic, shared, storage, resolver, nil)
	if err != nil {
		return nil, fmt.Errorf("configure native kinds: %w", err)
	}
	auth := webhook.NewDefaultAuthenticationInfoResolverWrapper(native.ProxyTransport,
		native.Generic.EgressSelector, native.Generic.LoopbackClientConfig, native.Generic.TracerProvider)
	// With one server a definition is Established at once, not after 5 s.
	const servers = 1
	custom, err := controlplaneserver.CreateAPIExtensionsConfig(*native.Generic, shared, initializers, opts, servers, resolver, auth)
	if err != nil {
		return nil, fmt.Errorf("configure custom kinds: %w", err)
	}
	c := &chain{cfg: cfg, informers: shared, loopback: native.Generic.LoopbackClientConfig, openapi: newOpenAPIConfigs(generic)}
	if c.client, err = kubernetes.NewForConfig(c.loopback); err != nil {
		return nil, err
	}
	notFound := notfoundhandler.New(native.Generic.Serializer, genericfilters.NoMuxAndDiscoveryIncompleteKey)
	c.custom, err = custom.Complete().New(genericapiserver.NewEmptyDelegateWithCustomHandler(notFound))
	if err != nil {
		return nil, fmt.Errorf("make server of custom kinds: %w", err)
	}
	done := native.Complete()
	server, err := done.New("heddle-apiserver", c.custom.GenericAPIServer)
	if err != nil {
		return nil, fmt.Errorf("make server of native kinds: %w", err)
	}
	c.native = server.GenericAPIServer
	providers, err := c.providers(&done, cfg.serviceCIDRs)
	if err != nil {
		return nil, err
	}
	if err := server.InstallAPIs(providers...); err != nil {
		return nil, fmt.Errorf("install native kinds: %w", err)
	}
	return c, c.addServiceCIDR(cfg.serviceCIDRs)
}

// providers lists the native groups in the order of discovery.
func (c *chain) providers(done *controlplaneserver.CompletedConfig, cidrs []net.IPNet) ([]controlplaneserver.RESTStorageProvider, error) {
	services := corerest.ServicesConfig{
		ClusterIPRange:   cidrs[0],
		NodePortRange:    kubeoptions.DefaultServiceNodePortRange,
		IPRepairInterval: 3 * time.Minute,
	}
	if len(cidrs) > 1 {
		services.SecondaryClusterIPRange = cidrs[1]
	}
	core, err := corerest.New(corerest.Config{
		GenericConfig: *done.NewCoreGenericConfig(),
		Proxy:         corerest.ProxyConfig{Transport: done.ProxyTransport, KubeletClientConfig: kubeletclient.KubeletClientConfig{Port: 10250}},
		Services:      services,
	}, done.Generic.Authorization.Authorizer)
	if err != nil {
		return nil, fmt.Errorf("make storage of core kinds: %w", err)
	}
	authn, authz := done.Generic.Authentication, done.Generic.Authorization.Authorizer
	return []controlplaneserver.RESTStorageProvider{
		core,
		authenticationrest.RESTStorageProvider{Authenticator: authn.Authenticator, APIAudiences: authn.APIAudiences},
		authorizationrest.RESTStorageProvider{Authorizer: authz, RuleResolver: done.Generic.RuleResolver},
		coordinationrest.RESTStorageProvider{},
		discoveryrest.StorageProvider{},
		networkingrest.RESTStorageProvider{},
		rbacrest.RESTStorageProvider{Authorizer: authz},
		admissionrest.RESTStorageProvider{Authorizer: authz, DiscoveryClient: c.client.Discovery()},
		eventsrest.RESTStorageProvider{TTL: done.EventTTL},
	}, nil
}

// addServiceCIDR keeps the ServiceCIDR object that the allocator of cluster
// addresses reads.
func (c *chain) addServiceCIDR(cidrs []net.IPNet) error {
	var second net.IPNet
	if len(cidrs) > 1 {
		second = cidrs[1]
	}
	return c.native.AddPostStartHook("heddle-service-cidr", func(hook genericapiserver.PostStartHookContext) error {
		defaultservicecidr.NewController(cidrs[0], second, c.client).Start(hook)
		return nil
	})
}
