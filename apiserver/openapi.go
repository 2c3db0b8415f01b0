package main

import (
	"fmt"

	"github.com/emicklei/go-restful/v3"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/kube-openapi/pkg/aggregator"
	"k8s.io/kube-openapi/pkg/builder3"
	openapicommon "k8s.io/kube-openapi/pkg/common"
	"k8s.io/kube-openapi/pkg/common/restfuladapter"
)

// openapiConfigs keeps what upstream hides once a server is made.
type openapiConfigs struct {
	v3 *openapicommon.OpenAPIV3Config
}

func newOpenAPIConfigs(c *genericapiserver.Config) *openapiConfigs {
	return &openapiConfigs{v3: c.OpenAPIV3Config}
}

// joinOpenAPI makes the document of native kinds (the one that clients get) also
// hold the custom kinds: the controllers of the custom server are given the
// native server's document to write to. Call it between PrepareRun, which makes
// the documents, and Run, which starts those controllers.
func (c *chain) joinOpenAPI() error {
	native, custom := c.native, c.custom.GenericAPIServer
	if native.OpenAPIVersionedService != nil && custom.StaticOpenAPISpec != nil {
		if err := aggregator.MergeSpecsIgnorePathConflictRenamingDefinitionsAndParameters(native.StaticOpenAPISpec, custom.StaticOpenAPISpec); err != nil {
			return fmt.Errorf("join OpenAPI v2: %w", err)
		}
		custom.StaticOpenAPISpec = native.StaticOpenAPISpec
		custom.OpenAPIVersionedService = native.OpenAPIVersionedService
	}
	for _, ws := range custom.Handler.GoRestfulContainer.RegisteredWebServices() {
		if ws.RootPath() != "/apis/apiextensions.k8s.io/v1" {
			continue
		}
		doc, err := builder3.BuildOpenAPISpecFromRoutes(restfuladapter.AdaptWebServices([]*restful.WebService{ws}), c.openapi.v3)
		if err != nil {
			return fmt.Errorf("OpenAPI v3 of %s: %w", ws.RootPath(), err)
		}
		native.OpenAPIV3VersionedService.UpdateGroupVersion(ws.RootPath()[1:], doc)
	}
	custom.OpenAPIV3VersionedService = native.OpenAPIV3VersionedService
	return nil
}
