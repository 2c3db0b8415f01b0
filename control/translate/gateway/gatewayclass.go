package gateway

import (
	"fmt"
	"slices"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/translate/condition"
	"github.com/heddle-mesh/heddle/mesh"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// features are the names of Gateway API features that Heddle has, of gateways and of the mesh, in order (GatewayClass.status.supportedFeatures).
var features = []string{
	"BackendTLSPolicy", "BackendTLSPolicySANValidation", "GRPCRoute", "GRPCRouteNamedRouteRule", "Gateway", "GatewayAddressEmpty", "GatewayBackendClientCertificate",
	"GatewayFrontendClientCertificateValidation", "GatewayFrontendClientCertificateValidationInsecureFallback", "GatewayHTTPListenerIsolation",
	"GatewayHTTPSListenerDetectMisdirectedRequests", "GatewayInfrastructure", "GatewayPort8080", "GatewayStaticAddresses", "HTTPRoute",
	"HTTPRoute303RedirectStatusCode", "HTTPRoute307RedirectStatusCode", "HTTPRoute308RedirectStatusCode", "HTTPRouteBackendProtocolH2C",
	"HTTPRouteBackendProtocolWebSocket", "HTTPRouteBackendRequestHeaderModification", "HTTPRouteBackendTimeout", "HTTPRouteCORS",
	"HTTPRouteDestinationPortMatching", "HTTPRouteHostRewrite", "HTTPRouteMethodMatching", "HTTPRouteNamedRouteRule", "HTTPRouteParentRefPort",
	"HTTPRoutePathRedirect", "HTTPRoutePathRewrite", "HTTPRoutePortRedirect", "HTTPRouteQueryParamMatching", "HTTPRouteRequestMirror",
	"HTTPRouteRequestMultipleMirrors", "HTTPRouteRequestPercentageMirror", "HTTPRouteRequestTimeout", "HTTPRouteResponseHeaderModification",
	"HTTPRouteRetry", "HTTPRouteRetryBackendTimeout", "HTTPRouteRetryConnectionError", "HTTPRouteSchemeRedirect", "ListenerSet", "Mesh", "MeshClusterIPMatching",
	"MeshConsumerRoute", "MeshHTTPRouteBackendRequestHeaderModification", "MeshHTTPRouteNamedRouteRule", "MeshHTTPRouteQueryParamMatching",
	"MeshHTTPRouteRedirectPath", "MeshHTTPRouteRedirectPort", "MeshHTTPRouteRewritePath", "MeshHTTPRouteSchemeRedirect", "ReferenceGrant", "TCPRoute",
	"TLSRoute", "TLSRouteModeMixed", "TLSRouteModeTerminate", "UDPRoute",
}

// gatewayClassFields are honoured.
var gatewayClassFields = api.Fields("controllerName", "description", "parametersRef.*")

// GatewayClass gives the status of a GatewayClass; nil when it belongs to another controller.
func GatewayClass(o api.Object, in Lookup) (*condition.Status, []mesh.Problem) {
	spec, ok := o.Spec.(*gwv1.GatewayClassSpec)
	if !ok || string(spec.ControllerName) != condition.Controller {
		return nil, nil
	}
	v := open(o, in)
	v.Unhonoured(o, gatewayClassFields, nil)
	accepted := v.cond(string(gwv1.GatewayClassConditionStatusAccepted), true, string(gwv1.GatewayClassReasonAccepted), "Heddle serves gateways of this class")
	if _, fault := classParameters(spec, in); fault != "" {
		v.Add(mesh.CodeNotFound, "spec.parametersRef", "", "%s", fault)
		accepted = v.cond(string(gwv1.GatewayClassConditionStatusAccepted), false, string(gwv1.GatewayClassReasonInvalidParameters), "spec.parametersRef: "+fault)
	}
	s := &condition.Status{Conditions: []condition.Condition{accepted,
		v.cond(string(gwv1.GatewayClassConditionStatusSupportedVersion), true, string(gwv1.GatewayClassReasonSupportedVersion), "the resource definitions are of a known version")}}
	for _, f := range features {
		s.Features = append(s.Features, condition.Feature{Name: f})
	}
	return s, v.Problems()
}

// referrers are the kinds whose references to other namespaces are followed.
var referrers = []string{"HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute", "UDPRoute", "Gateway", "ListenerSet"}

// ReferenceGrant says what is not honoured of a grant. Grants have no status.
func ReferenceGrant(o api.Object) []mesh.Problem {
	spec, ok := o.Spec.(*gwv1.ReferenceGrantSpec)
	if !ok {
		return nil
	}
	v := open(o, nil)
	v.Marks(o)
	for i, f := range spec.From {
		if string(f.Group) == api.GroupGateway && slices.Contains(referrers, string(f.Kind)) {
			continue
		}
		v.NotEnforced(fmt.Sprintf("spec.from[%d]", i), "references from %s are not followed yet", f.Kind)
	}
	for i, t := range spec.To {
		if t.Group == "" && (t.Kind == "Service" || t.Kind == "Secret" || t.Kind == "ConfigMap") || t.Group == api.GroupNetworking && t.Kind == "ServiceEntry" {
			continue
		}
		v.NotEnforced(fmt.Sprintf("spec.to[%d]", i), "references to %s are not followed yet", t.Kind)
	}
	return v.Problems()
}
