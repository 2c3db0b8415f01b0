package gateway

import (
	"flag"
	"os"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/gateway-api/conformance"
	confv1 "sigs.k8s.io/gateway-api/conformance/apis/v1"
	"sigs.k8s.io/gateway-api/conformance/tests"
	"sigs.k8s.io/gateway-api/conformance/utils/suite"
	"sigs.k8s.io/gateway-api/pkg/features"
	"sigs.k8s.io/yaml"
)

var (
	cluster  = flag.Bool("cluster", false, "run against the cluster of $KUBECONFIG")
	report   = flag.String("report", "", "`file` to write the report into, after a run of everything")
	version  = flag.String("release", "dev", "`version` of the mesh, for the report")
	only     = flag.String("only", "", "`names` of tests, with commas, instead of all")
	every    = flag.Bool("every", false, "also the tests of features that are not announced")
	usable   = flag.String("usable", "", "`addresses` that a gateway can ask for, with commas")
	unusable = flag.String("unusable", "", "`addresses` that a gateway cannot have, with commas")
)

// part is a run of the suite: the profiles that can share the namespaces and their labels.
type part struct {
	name     string
	profiles []suite.ConformanceProfileName
	labels   map[string]string
	other    features.FeatureName // that of the other part
}

var parts = []part{
	{name: "gateways", other: features.SupportMesh, profiles: []suite.ConformanceProfileName{suite.GatewayHTTPConformanceProfileName, suite.GatewayGRPCConformanceProfileName,
		suite.GatewayTLSConformanceProfileName, suite.GatewayTCPConformanceProfileName, suite.GatewayUDPConformanceProfileName}},
	{name: "mesh", other: features.SupportGateway, profiles: []suite.ConformanceProfileName{suite.MeshHTTPConformanceProfileName, suite.MeshGRPCConformanceProfileName},
		labels: map[string]string{"istio-injection": "enabled"}},
}

// TestConformance skips no test of a feature that is announced, and writes one report of both parts.
func TestConformance(t *testing.T) {
	if !*cluster {
		t.Skip("needs a cluster: make conformance-gateway")
	}
	var reports []*confv1.ConformanceReport
	for _, p := range parts {
		t.Run(p.name, func(t *testing.T) {
			p.run(t, func(r *confv1.ConformanceReport) { reports = append(reports, r) })
		})
	}
	if *report == "" || *only != "" || len(reports) < len(parts) { // a part that could not run has none
		return
	}
	whole := reports[0]
	for _, r := range reports[1:] {
		whole.ProfileReports = append(whole.ProfileReports, r.ProfileReports...)
	}
	text, err := yaml.Marshal(whole)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(*report, text, 0o644); err != nil {
		t.Fatal(err)
	}
}

// run tells the report, if there is one, when everything has ended.
func (p part) run(t *testing.T, tell func(*confv1.ConformanceReport)) {
	o := conformance.DefaultOptions(t)
	o.GatewayClassName, o.ConformanceProfiles, o.NamespaceLabels = "heddle", p.profiles, p.labels
	o.CleanupBaseResources, o.CleanupTestResources = true, true
	o.UsableNetworkAddresses, o.UnusableNetworkAddresses = addresses(*usable), addresses(*unusable)
	o.Implementation = confv1.Implementation{Organization: "heddle-mesh", Project: "heddle", URL: "https://github.com/heddle-mesh/heddle", Version: *version,
		Contact: []string{"https://github.com/heddle-mesh/heddle/issues"}}
	all := announced(t, &o)
	if *every {
		all = features.SetsToNamesSet(features.AllFeatures)
	}
	o.SupportedFeatures = all.Delete(p.other).UnsortedList()
	chosen := p.tests()
	if len(chosen) == 0 {
		t.Skip("none of the tests that were asked for")
	}
	s, err := suite.NewConformanceTestSuite(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // the suite counts as running until its own clean-up, which comes before this one
		r, err := s.Report()
		if err != nil {
			t.Error(err)
			return
		}
		tell(r)
	})
	s.Setup(t, chosen)
	if err := s.Run(t, chosen); err != nil {
		t.Fatal(err)
	}
}

// announced are the features in the status of the GatewayClass, of gateways and of the mesh.
func announced(t *testing.T, o *suite.ConformanceOptions) sets.Set[features.FeatureName] {
	var class gwv1.GatewayClass
	if err := o.Client.Get(t.Context(), types.NamespacedName{Name: o.GatewayClassName}, &class); err != nil {
		t.Fatal(err)
	}
	out := sets.New[features.FeatureName]()
	for _, f := range class.Status.SupportedFeatures {
		out.Insert(features.FeatureName(f.Name))
	}
	if len(out) == 0 {
		t.Fatalf("GatewayClass %s announces no features", class.Name)
	}
	return out
}

// tests are those of the part that were asked for.
func (p part) tests() (out []suite.ConformanceTest) {
	names := sets.New(strings.Split(*only, ",")...)
	for _, c := range tests.ConformanceTests {
		if !slices.Contains(c.Features, p.other) && (*only == "" || names.Has(c.ShortName)) {
			out = append(out, c)
		}
	}
	return out
}

func addresses(list string) (out []gwv1.GatewaySpecAddress) {
	kind := gwv1.IPAddressType
	for _, s := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' }) {
		out = append(out, gwv1.GatewaySpecAddress{Type: &kind, Value: s})
	}
	return out
}
