package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/heddle-mesh/heddle/platform/laptop"
)

// tour prints what is running and what to try; each command works as printed.
func tour(out io.Writer, s *laptop.Status, command string, empty bool) {
	_, _ = fmt.Fprintf(out, "heddle: ready after %.1f s (%s)\n\n", s.ReadyAfter, modes[s.Mode])
	_, _ = fmt.Fprintf(out, "  ingress     %s\n  API server  %s\n  kubeconfig  %s\n  logs        %s/log\n", s.Gateway, s.API, s.Kubeconfig, s.RunDir)
	if s.Metrics != "" {
		_, _ = fmt.Fprintf(out, "  metrics     %s (Prometheus' HTTP API, for Grafana and others)\n", s.Metrics)
	}
	if s.Dashboard != "" {
		_, _ = fmt.Fprintf(out, "  dashboard   %s\n              (logs in once; %s dashboard gives another)\n", s.Dashboard, command)
	}
	_, _ = fmt.Fprintln(out)
	if !empty {
		for _, w := range s.Workloads {
			_, _ = fmt.Fprintf(out, "  %-22s %-12s %s\n", w.Name, w.Address, w.About)
		}
		_, _ = fmt.Fprintln(out)
	}
	steps := emptySteps
	if !empty {
		steps = shopSteps
	}
	_, _ = fmt.Fprintln(out, "Things to try, in another terminal:")
	for i, step := range steps {
		_, _ = fmt.Fprintf(out, "\n  %d. %s\n", i+1, step.about)
		for _, c := range step.commands {
			if s.Metrics == "" && strings.Contains(c, " query ") {
				continue
			}
			_, _ = fmt.Fprintf(out, "     %s\n", fmt.Sprintf(c, command, s.Gateway))
		}
	}
	_, _ = fmt.Fprintf(out, "\nCtrl-C (or %s down) ends it all.\n", command)
}

var modes = map[laptop.Mode]string{
	laptop.ModeRoot:     "each workload in a network namespace of its own",
	laptop.ModeRootless: "without root: each workload in a network namespace inside a user namespace; all processes run as you, and each proxy knows its own traffic by a mark",
	laptop.ModeProxy:    "without namespaces: each workload calls others through its proxy by HTTP_PROXY",
}

type step struct {
	about    string
	commands []string // with the command and the gateway's URL as arguments
}

var shopSteps = []step{
	{"See the page, and the traffic that the visitor makes", []string{"curl -s %[2]s/", "%[1]s status",
		`%[1]s query 'sum by (destination_workload, response_code) (rate(istio_requests_total{reporter="destination"}[1m]))'`}},
	{"Shift 10 % of catalog's traffic to version 2", []string{
		`%[1]s kubectl patch virtualservice catalog -n shop --type merge -p '{"spec":{"http":[{"route":[{"destination":{"host":"catalog","subset":"v1"},"weight":90},{"destination":{"host":"catalog","subset":"v2"},"weight":10}]}]}}'`,
		"for i in $(seq 20); do curl -s %[2]s/catalog | grep -o '\"catalog\",\"version\":\"v.\"'; done | sort | uniq -c"}},
	{"Break it: every third call of checkout fails", []string{
		`%[1]s kubectl apply -f - <<'END'
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: checkout, namespace: shop}
spec:
  hosts: [checkout]
  http:
  - fault: {abort: {percentage: {value: 33}, httpStatus: 500}}
    route: [{destination: {host: checkout}}]
END`}},
	{"See the failure, and mend it", []string{
		"for i in $(seq 20); do curl -s -o /dev/null -w '%%{http_code}\\n' %[2]s/checkout; done | sort | uniq -c",
		"%[1]s kubectl delete virtualservice checkout -n shop"}},
	{"See what a proxy holds, and whether all have the latest", []string{
		"%[1]s proxy-status", "%[1]s proxy-config route web-v1.shop", "%[1]s proxy-config endpoint web-v1.shop"}},
	{"Put a process of yours into the mesh; it calls the others by name", []string{
		"%[1]s run --name hello --port 9000 -- python3 -m http.server 9000",
		"%[1]s run --name me -- curl -s http://catalog.shop:8080/"}},
}

var emptySteps = []step{
	{"See what runs", []string{"%[1]s status"}},
	{"Put a process of yours into the mesh", []string{"%[1]s run --name hello --port 9000 -- python3 -m http.server 9000"}},
	{"Call it by name, with mutual TLS between the proxies", []string{"%[1]s run --name me -- curl -s http://hello:9000/"}},
}
