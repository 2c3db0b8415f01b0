package istio_test

import (
	"encoding/json"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/heddle-mesh/heddle/cli"
)

// notGiven are codes that heddle analyze does not give: about injection and images, webhooks and control planes notGiven, definitions, users of pods, ambient mode, the status of
// objects, providers of telemetry, and authentication.
var notGiven = []string{
	"IST0102", "IST0103", "IST0123", "IST0125", "IST0126", "IST0139", "IST0144", "IST0146", "IST0147", "IST0148", "IST0149", "IST0157", "IST0158", "IST0159", "IST0163", "IST0164", "IST0166",
	"IST0167", "IST0171", "IST0175", "IST0176",
}

// otherwise are answers that differ from Istio's, with the reason.
var otherwise = map[string]string{
	"misannoted: IST0108 Ingress/gateway":                                                         "the annotations of Ingresses are looked at, too, and this one means nothing",
	"misannoted: IST0107 Deployment/fortio-deploy":                                                "Deployments are read for their pods alone",
	"misannoted: IST0135 Deployment/fortio-deploy":                                                "Deployments are read for their pods alone",
	"alpha: IST0136 Deployment/fortio-deploy":                                                     "Deployments are read for their pods alone",
	"alpha: IST0136 Pod/annotation-set-by-default":                                                "what Istio's injector sets itself is not known from what a user wrote",
	"alpha: IST0136 Pod/grafana-test":                                                             "what Istio's injector sets itself is not known from what a user wrote",
	"alpha: IST0136 Pod/ignore-istio-annotations":                                                 "what Istio's injector sets itself is not known from what a user wrote",
	"deprecation: IST0002 Sidecar/no-selector":                                                    "egressProxy is honoured",
	"Telemetry Lightstep: IST0002 Telemetry/mesh-default":                                         "providers are not read yet",
	"gatewayNoWorkload: IST0101 Gateway/httpbin-gateway":                                          "files without any workload are a part of a mesh",
	"gatewayBadPort: IST0162 Gateway/httpbin-gateway":                                             "files without the gateway's Service are a part of a mesh",
	"virtualServiceGateways: IST0132 VirtualService/httpbin":                                      "a Gateway without servers is invalid, which it is told itself",
	"virtualServiceGateways: IST0132 VirtualService/cross-test":                                   "a Gateway without servers is invalid, which it is told itself",
	"virtualServiceGateways: IST0132 VirtualService/httpbin-bogus":                                "a Gateway that does not exist is told once, as IST0101",
	"virtualServiceConflictingMeshGatewayHostsWithExportTo: IST0109 VirtualService/productpage-d": "a host and a wildcard that covers it are no conflict: each counts, the narrower one first",
	"virtualServiceDestinationHosts: IST0101 VirtualService/reviews-bogushost":                    "a destination without a host makes the object invalid, which it is told first",
	"virtualServiceDestinationHosts: IST0101 VirtualService/hello-export-to-bogus":                "the namespace that it is exported to sees the service",
	"serviceMultipleDeployments: IST0116 Deployment/deployment-out-mesh":                          "whether pods are injected is not asked: their Services disagree for every client in the mesh",
	"authorizationpolicies: IST0101 AuthorizationPolicy/httpbin-bogus-ns":                         "a namespace that does not exist yet is no mistake of a policy",
	"authorizationpolicies: IST0101 AuthorizationPolicy/httpbin-bogus-not-ns":                     "a namespace that does not exist yet is no mistake of a policy",
	"authorizationpolicies: IST0127 AuthorizationPolicy/httpbin-empty-namespace-wide":             "a policy of a namespace is for the workloads that will come, too",
	"missing Addresses and Protocol in Service Entry: IST0134 ServiceEntry/service-entry-test-03": "addresses are allocated",
	"missing Addresses and Protocol in Service Entry: IST0134 ServiceEntry/service-entry-test-04": "addresses are allocated",
	"missing Addresses and Protocol in Service Entry: IST0134 ServiceEntry/service-entry-test-07": "addresses are allocated",
	"EnvoyFilterUsesAddOperation: IST0153 EnvoyFilter/test-auth-3":                                "routes are added",
	"EnvoyFilterUsesRemoveOperation: IST0154 EnvoyFilter/test-remove-3":                           "routes are removed",
	"DestinationRuleSubsetsNotSelectPods: IST0173 DestinationRule/subsets-not-select-pods":        "files without any workload are a part of a mesh",
	"DestinationRuleEmptyTopologyLabels: IST0173 DestinationRule/empty-topology-labels":           "files without any workload are a part of a mesh",
}

// several is the code that many analyzers of Istio give, of which its table runs one at a time: an answer besides those of the case is none in vain.
const several = "IST0101"

// TestAnalyzers: of the objects of the tests of Istio's analyzers `heddle analyze` says what they must say, code by code and object by object; and it gives none of the codes of a case to
// an object that must not have it.
func TestAnalyzers(t *testing.T) {
	dir := istio(t)
	cases := trials(t, dir)
	told, used := 0, map[string]bool{}
	differs := func(c trial, s said) bool {
		key := c.name + ": " + s.String()
		used[key] = used[key] || otherwise[key] != ""
		return otherwise[key] != ""
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			want := map[said]bool{}
			codes := map[string]bool{}
			for _, s := range c.want {
				if codes[s.code] = true; !slices.Contains(notGiven, s.code) {
					want[plain(s)] = true
				}
			}
			got := map[said]bool{}
			for _, s := range analyzed(t, filepath.Join(dir, "pkg/config/analysis/analyzers"), c) {
				if codes[s.code] && !slices.Contains(notGiven, s.code) {
					got[plain(s)] = true
				}
			}
			told += len(want)
			for _, s := range sorted(want) {
				if !got[s] && !differs(c, s) {
					t.Errorf("not told: %s", s)
				}
			}
			for _, s := range sorted(got) {
				if !want[s] && s.code != several && !differs(c, s) {
					t.Errorf("told in vain: %s", s)
				}
			}
		})
	}
	for key := range otherwise {
		if !used[key] {
			t.Errorf("%q is no difference any more: take it out of the list", key)
		}
	}
	t.Logf("%d answers of %d cases", told, len(cases))
}

func (s said) String() string { return s.code + " " + s.object }

// plain leaves the namespace out, which Istio's table has only where a file gives it.
func plain(s said) said {
	parts := strings.Split(s.object, "/")
	return said{s.code, parts[0] + "/" + parts[len(parts)-1]}
}

func sorted(set map[said]bool) []said {
	return slices.SortedFunc(maps.Keys(set), func(a, b said) int { return strings.Compare(a.String(), b.String()) })
}

// analyzed is what heddle analyze says of the files of a case.
func analyzed(t *testing.T, dir string, c trial) (out []said) {
	t.Helper()
	args := []string{"analyze", "-o", "json"}
	for _, f := range c.files {
		args = append(args, "-f", filepath.Join(dir, f))
	}
	if c.mesh != "" {
		args = append(args, "--mesh-config", filepath.Join(dir, c.mesh))
	}
	stdout, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer stdout.Close()
	root := cli.Root(cli.Env{Out: stdout, Log: slog.New(slog.DiscardHandler)})
	root.SetArgs(args)
	failed := root.Execute() // it fails when there is something to tell, too
	text, err := os.ReadFile(stdout.Name())
	if err != nil {
		t.Fatal(err)
	}
	var lines []struct{ Code, Origin string }
	if err := json.Unmarshal(text, &lines); err != nil {
		t.Fatalf("heddle %s: %v: %v", strings.Join(args, " "), failed, err)
	}
	for _, l := range lines {
		out = append(out, said{l.Code, l.Origin})
	}
	return out
}
