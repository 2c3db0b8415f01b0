package kube

import (
	_ "embed"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// policies are those of a guarded namespace, but for the one that needs addresses.
//
//go:embed policies.yaml
var policies string

// TestPolicies asks the same questions in namespaces with NetworkPolicies, first without a mesh, then in the mesh under each way of capture: the answers must be the same.
func TestPolicies(t *testing.T) {
	if *kubeconfig == "" || *nodePid == "" {
		t.Skip("needs a cluster: make e2e-kube-more")
	}
	defer collect(t)
	apply(t, "apiVersion: v1\nkind: Namespace\nmetadata: {name: policy-other, labels: {team: blue}}\n")
	apply(t, policyPod("policy-other", "open", "svc: open", "")+policyPod("policy-other", "friend", "role: friend", "")+policyPod("policy-other", "stranger", "", "")+policyService("policy-other", "open"))
	for _, r := range []round{{name: "plain"}, {name: "init", mesh: true}, {name: "ebpf", mesh: true, way: "ebpf"}, {name: "nftables", mesh: true, way: "nftables"}, {name: "iptables", mesh: true, way: "iptables"}} {
		if !t.Run(r.name, r.run) {
			return
		}
	}
	k(t, "delete", "namespace", "-l", "policy-test=yes")
	k(t, "delete", "namespace", "policy-other")
	if _, err := kubectl("get", "namespace", "istio-system"); err == nil { // not with -run TestPolicies/plain
		h(t, "uninstall")
	}
}

// round is one way of capture.
type round struct {
	name string
	mesh bool
	way  string // of the node agent; "" is the init container's
}

func (r round) namespace() string { return "policy-" + r.name }

func (r round) run(t *testing.T) {
	r.install(t)
	ns := r.namespace()
	injection := "disabled"
	if r.mesh {
		injection = "enabled"
	}
	apply(t, fmt.Sprintf("apiVersion: v1\nkind: Namespace\nmetadata: {name: %s, labels: {policy-test: \"yes\", istio-injection: %s}}\n", ns, injection))
	apply(t, strings.ReplaceAll(policies, "NAMESPACE", ns))
	// Under a policy that lets nobody in they become ready all the same: the kubelet may look.
	apply(t, policyPod(ns, "web", "app: web, svc: web", "")+policyPod(ns, "kept", "app: web, svc: kept", "sidecar.istio.io/interceptionMode: TPROXY")+policyPod(ns, "block", "app: block, svc: block", "")+
		policyPod(ns, "friend", "role: friend", "")+policyPod(ns, "stranger", "", "")+policyPod(ns, "shut", "role: friend, egress: shut", "sidecar.istio.io/interceptionMode: TPROXY")+
		policyService(ns, "web")+policyService(ns, "kept")+policyService(ns, "block"))
	for _, in := range []string{ns, "policy-other"} {
		k(t, "-n", in, "wait", "--for=condition=Ready", "pod", "--all", "--timeout=240s")
	}
	apply(t, blocks(ns, addressesOf(t, ns, "pod", "stranger")))
	r.look(t)
	for _, c := range []struct{ namespace, name string }{{ns, "friend"}, {ns, "stranger"}, {ns, "shut"}, {"policy-other", "friend"}, {"policy-other", "stranger"}} {
		t.Run(c.name+" of "+c.namespace, func(t *testing.T) { r.ask(t, c.namespace, c.name) })
	}
	if r.mesh && r.way == "" {
		t.Run("gateways", families)
	}
	if !t.Failed() {
		k(t, "delete", "namespace", ns, "--wait=false")
	}
}

// install makes this round's way of capture that of pods which start from now on.
func (r round) install(t *testing.T) {
	if !r.mesh {
		return
	}
	set := "gateway.enabled=true"
	if r.way != "" {
		set = "gateway.enabled=false,node.enabled=true,node.ways={" + r.way + "}" // no other to fall back to
	}
	h(t, "install", "--profile", "demo", "--set", set)
	eventually(t, "those of before are gone", func() error {
		for _, app := range []string{"heddled", "heddle-node"} {
			if n := len(strings.Fields(k(t, "-n", "istio-system", "get", "pods", "-l", "app="+app, "-o", "name"))); n > 1 {
				return fmt.Errorf("there are %d pods of %s", n, app)
			}
		}
		text, err := onNode("", "cat", conflist)
		if r.way != "" && (err != nil || !strings.Contains(text, `"ways":["`+r.way+`"]`)) {
			return errors.Join(fmt.Errorf("the node's configuration is %s", text), err)
		}
		return nil
	})
}

// look makes sure that the pods are captured in this way and no other.
func (r round) look(t *testing.T) {
	if !r.mesh {
		return
	}
	init := k(t, "-n", r.namespace(), "get", "pod", "kept", "-o", "jsonpath={.spec.initContainers[*].name}")
	if strings.Contains(init, "istio-init") != (r.way == "") {
		t.Errorf("the init containers are %s", init)
	}
	if r.way == "" {
		return
	}
	// Whatever else it finds: pods of the last round may be ending.
	if out, err := run("", *heddle, "check"); !strings.Contains(out, "(node1: "+r.way+")") {
		t.Errorf("heddle check does not say that node1 captures by %s (%v):\n%s", r.way, err, out)
	}
}

// question is asked by Service and by pod, in each family.
type question struct {
	from, to string // "other" stands before what is outside of the guarded namespace
	port     string // of the Service: 80 or 81
	may      bool
}

var questions = []question{
	// Only friends may call app=web, here and in namespaces of team blue, and only its port http.
	{"friend", "web", "80", true}, {"friend", "web", "81", false}, {"friend", "kept", "80", true}, {"friend", "kept", "81", false},
	{"stranger", "web", "80", false}, {"stranger", "kept", "80", false},
	{"other/friend", "web", "80", true}, {"other/friend", "web", "81", false}, {"other/friend", "kept", "80", true}, {"other/friend", "kept", "81", false},
	{"other/stranger", "web", "80", false}, {"other/stranger", "kept", "80", false},
	// Everybody may call app=block but the one whose address is excepted.
	{"friend", "block", "80", true}, {"friend", "block", "81", false}, {"stranger", "block", "80", false}, {"other/friend", "block", "80", true}, {"other/stranger", "block", "80", true},
	// What is shut may call app=web, and nobody else whoever would let it in.
	{"shut", "web", "80", true}, {"shut", "kept", "80", true}, {"shut", "block", "80", false}, {"shut", "other/open", "80", false}, {"shut", "other/open", "81", false},
	// Nothing is said of all others.
	{"friend", "other/open", "80", true}, {"friend", "other/open", "81", true}, {"stranger", "other/open", "80", true}, {"other/stranger", "other/open", "81", true},
}

// ask asks everything that is asked by one pod, until all answers are right.
func (r round) ask(t *testing.T, namespace, name string) {
	own := addressesOf(t, namespace, "pod", name)
	me := strings.TrimPrefix(namespace+"/"+name, "policy-")
	me = strings.TrimPrefix(me, r.name+"/")
	var urls []string
	var want []func(answer string) error
	for _, q := range questions {
		if q.from != me {
			continue
		}
		ns, to := r.namespace(), q.to
		if rest, ok := strings.CutPrefix(q.to, "other/"); ok {
			ns, to = "policy-other", rest
		}
		for _, kind := range []string{"service", "pod"} {
			port := q.port
			if kind == "pod" {
				port = map[string]string{"80": "8080", "81": "9090"}[q.port]
			}
			for _, ip := range addressesOf(t, ns, kind, to) {
				urls = append(urls, "http://"+net.JoinHostPort(ip.String(), port)+"/")
				mutual := r.mesh && kind == "service" && namespace == ns && ns == r.namespace()
				source := own[slices.IndexFunc(own, func(o netip.Addr) bool { return o.Is4() == ip.Is4() })]
				want = append(want, func(answer string) error { return r.judge(q, answer, mutual, source) })
			}
		}
	}
	eventually(t, "every answer is as without a mesh", func() error {
		out, err := app(namespace, name, append([]string{"all"}, urls...)...)
		lines := strings.Split(out, "\n")
		if err != nil || len(lines) != len(urls) {
			return errors.Join(fmt.Errorf("%d of %d answers: %s", len(lines), len(urls), out), err)
		}
		var all error
		for i, line := range lines {
			if err := want[i](line); err != nil {
				all = errors.Join(all, fmt.Errorf("%s: %w", urls[i], err))
			}
		}
		return all
	})
	t.Logf("%d answers", len(urls))
}

// judge says what is wrong with an answer. Mutual says that the caller's identity must be known, and source from where the application must have been called, if it can know.
func (r round) judge(q question, answer string, mutual bool, source netip.Addr) error {
	if may := strings.HasPrefix(answer, "200 "); may != q.may || !may && !strings.HasPrefix(answer, "0 ") && !strings.HasPrefix(answer, "503 ") {
		return fmt.Errorf("%s asks %s at %s, which is allowed: %t; the answer is %q", q.from, q.to, q.port, q.may, answer)
	}
	if !q.may {
		return nil
	}
	if known := strings.Contains(answer, "URI=spiffe://cluster.local/ns/"+r.namespace()+"/sa/default"); known != mutual {
		return fmt.Errorf("mutual TLS is %t, want %t: %q", known, mutual, answer)
	}
	_, text, _ := strings.Cut(answer, " from=")
	text, _, _ = strings.Cut(text, " ")
	from, err := netip.ParseAddr(text)
	if err != nil {
		return err
	}
	// A proxy that redirects calls the application from an address of its own.
	proxied := r.mesh && (q.to == "web" || q.to == "block")
	if got := from.Unmap(); (got == source) == proxied {
		return fmt.Errorf("%s is called from %s by %s", q.to, got, source)
	}
	return nil
}

// addressesOf are those of a pod, or of a Service.
func addressesOf(t *testing.T, namespace, kind, name string) (all []netip.Addr) {
	t.Helper()
	path := map[string]string{"pod": "{.status.podIPs[*].ip}", "service": "{.spec.clusterIPs[*]}"}[kind]
	for _, text := range strings.Fields(k(t, "-n", namespace, "get", kind, name, "-o", "jsonpath="+path)) {
		a, err := netip.ParseAddr(text)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, a)
	}
	if len(all) == 0 {
		t.Fatalf("%s %s/%s has no address", kind, namespace, name)
	}
	return all
}

// blocks lets everybody call app=block but some addresses.
func blocks(namespace string, but []netip.Addr) string {
	var from strings.Builder
	for _, a := range but {
		all := netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		if a.Is4() {
			all = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		}
		fmt.Fprintf(&from, "    - ipBlock: {cidr: %q, except: [%q]}\n", all, netip.PrefixFrom(a, a.BitLen()))
	}
	return "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: blocks, namespace: " + namespace + "}\nspec:\n  podSelector: {matchLabels: {app: block}}\n  policyTypes: [Ingress]\n  ingress:\n  - ports: [{port: 8080, endPort: 8088}]\n    from:\n" + from.String()
}

func policyPod(namespace, name, labels, annotations string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Pod
metadata: {name: %s, namespace: %s, labels: {%s}, annotations: {%s}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: app
    image: lab.local/app:1
    args: [serve]
    ports: [{name: http, containerPort: 8080}]
    readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}
  - name: other
    image: lab.local/app:1
    args: [serve, ":9090"]
    ports: [{name: other, containerPort: 9090}]
---
`, name, namespace, labels, annotations)
}

func policyService(namespace, name string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Service
metadata: {name: %s, namespace: %s}
spec:
  ipFamilyPolicy: PreferDualStack
  selector: {svc: %s}
  ports: [{name: http, port: 80, targetPort: 8080}, {name: http-other, port: 81, targetPort: 9090}]
---
`, name, namespace, name)
}
