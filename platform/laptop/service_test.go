package laptop

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"
)

func serviceOf(selector map[string]string, ports ...corev1.ServicePort) *corev1.Service {
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "cart", Namespace: "shop"}, Spec: corev1.ServiceSpec{Selector: selector, Ports: ports}}
}

func TestAWorkloadFitsAService(t *testing.T) {
	app := map[string]string{"app": "cart"}
	http := corev1.ServicePort{Name: "http", Port: 80, TargetPort: intstr.FromInt32(8080)}
	more := corev1.ServicePort{Name: "tcp-admin", Port: 9000}
	for name, c := range map[string]struct {
		w           *workload
		s           *corev1.Service
		port, entry uint16
		portName    string
		err         string
	}{
		"the service's own port":      {&workload{port: 8080}, serviceOf(app, http), 8080, 0, "http", ""},
		"no port of its own":          {&workload{}, serviceOf(app, http), 8080, 0, "http", ""},
		"a port of its own":           {&workload{port: 9001}, serviceOf(app, http), 9001, 9001, "http", ""},
		"one of two, by its target":   {&workload{port: 8080}, serviceOf(app, more, http), 8080, 0, "http", ""},
		"one of two, by its number":   {&workload{port: 9000}, serviceOf(app, http, more), 9000, 0, "tcp-admin", ""},
		"neither of two":              {&workload{port: 1}, serviceOf(app, http, more), 0, 0, "", "service cart.shop has 2 ports; say with --port which one the process serves: 80, 9000"},
		"none":                        {&workload{port: 1}, serviceOf(app), 0, 0, "", "service cart.shop has 0 ports"},
		"TCP to what speaks HTTP":     {&workload{port: 80, tcp: true}, serviceOf(app, http), 0, 0, "", "service cart.shop speaks HTTP on port 80; leave --tcp out"},
		"a selector that is not ours": {&workload{}, serviceOf(map[string]string{"team": "a"}, http), 0, 0, "", "service cart.shop selects workloads with team=a, and this one has the labels app=cart and version=v2"},
	} {
		w := c.w
		w.name, w.namespace, w.app, w.version, w.labels = "cart-v2", "shop", "cart", "v2", map[string]string{"app": "cart", "version": "v2"}
		err := w.fit(c.s)
		if c.err != "" {
			if err == nil || !strings.HasPrefix(err.Error(), c.err) {
				t.Errorf("%s: error %v, want %s", name, err, c.err)
			}
			continue
		}
		if err != nil || w.port != c.port || w.entryPort != c.entry || w.portName != c.portName {
			t.Errorf("%s: port %d, entry port %d, name %q, %v", name, w.port, w.entryPort, w.portName, err)
		}
	}
}

func TestEntriesSayWhereAndWhether(t *testing.T) {
	w := &workload{name: "cart-v2", namespace: "shop", app: "cart", version: "v2", account: "cart", portName: "http", entryPort: 9001, reached: netip.MustParseAddr("fd78:6864::9")}
	var o struct {
		Metadata struct{ Annotations map[string]string }
		Spec     struct {
			Address string
			Ports   map[string]int
		}
	}
	if err := yaml.Unmarshal([]byte(entryObject(w, false)), &o); err != nil {
		t.Fatal(err)
	}
	if o.Metadata.Annotations["heddle.dev/ready"] != "false" || o.Spec.Address != "fd78:6864::9" || o.Spec.Ports["http"] != 9001 {
		t.Errorf("%+v", o)
	}
}

func TestWhereAProcessIsReached(t *testing.T) {
	addrs := func(texts ...string) (out []netip.Addr) {
		for _, s := range texts {
			out = append(out, netip.MustParseAddr(s))
		}
		return out
	}
	for _, c := range []struct {
		own       []netip.Addr
		hostPort  uint16
		listening []netip.Addr
		want      string
	}{
		{addrs("10.78.0.5", "fd78::5"), 0, addrs("0.0.0.0"), "10.78.0.5"},
		{addrs("10.78.0.5", "fd78::5"), 0, addrs("0.0.0.0", "::"), "10.78.0.5"},
		{addrs("10.78.0.5", "fd78::5"), 0, addrs("::"), "fd78::5"},
		{addrs("10.78.0.5", "fd78::5"), 0, addrs("fd78::5"), "fd78::5"},
		{addrs("10.78.0.5", "fd78::5"), 0, addrs("10.78.0.5", "fd78::5"), "10.78.0.5"},
		{addrs("10.78.0.5", "fd78::5"), 0, addrs("127.0.0.1", "::1"), ""},
		{addrs("10.78.0.5", "fd78::5"), 0, nil, ""},
		{addrs("127.78.0.5"), 9000, addrs("127.0.0.1"), "127.78.0.5"},
		{addrs("127.78.0.5"), 9000, addrs("0.0.0.0", "::"), "127.78.0.5"},
		{addrs("127.78.0.5"), 9000, addrs("::1"), ""},
	} {
		w := &workload{addresses: c.own, hostPort: c.hostPort}
		got, ok := w.reachable(c.listening)
		if ok != (c.want != "") || ok && got.String() != c.want {
			t.Errorf("%v listening on %v: %v %v, want %s", c.own, c.listening, got, ok, c.want)
		}
	}
}

func TestProgramsAreLedToTheirProxy(t *testing.T) {
	w := &workload{addresses: []netip.Addr{netip.MustParseAddr("127.78.0.5")}}
	got := plainEnvironment(w, []string{"PATH=/bin", "Http_Proxy=http://elsewhere", "no_proxy=*", "HTTPS_PROXY=http://office"})
	want := []string{"PATH=/bin", "HTTPS_PROXY=http://office", "HTTP_PROXY=http://127.78.0.5:15007", "http_proxy=http://127.78.0.5:15007", "NO_PROXY=localhost,127.0.0.1,::1", "no_proxy=localhost,127.0.0.1,::1"}
	if !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

func TestAProxyOfTheUsersIsTold(t *testing.T) {
	for want, env := range map[string][]string{"": {"PATH=/bin", "http_proxy="}, "HTTP_PROXY": {"HTTP_PROXY=http://office:3128", "NO_PROXY=localhost"}, "http_proxy": {"http_proxy=x"}} {
		if got := ledAside(env); got != want {
			t.Errorf("%v: %q, want %q", env, got, want)
		}
	}
	if got := ledAside([]string{"http_proxy=x", "no_proxy=*"}); got != "" {
		t.Errorf("nothing is led aside, but %s is told", got)
	}
}

func TestTheShopWithoutNamespacesSpeaksHTTPOnly(t *testing.T) {
	for _, p := range plainParts() {
		if p.TCP || p.Appends != "" {
			t.Errorf("%+v", p)
		}
	}
}
