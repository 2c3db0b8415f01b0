package mesh_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/heddle-mesh/heddle/test/lab"
	"github.com/heddle-mesh/heddle/test/mesh"
)

// A workload outside of Kubernetes has its whole life by a group: it registers, is found well, gets traffic, fails, comes back, and goes.
func TestMachine(t *testing.T) {
	m := mesh.Start(t)
	m.Apply(fmt.Sprintf(`
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{name: http, port: 80}]}
---
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {name: machines}
spec: {metadata: {labels: {app: web}}, template: {ports: {http: %d}, serviceAccount: web}}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: strict}
spec: {mtls: {mode: STRICT}}
`, mesh.InboundPort))
	client := m.From("client")
	answer := func() string {
		r := client.Get("http://web/")
		if r.Status != http.StatusOK {
			return fmt.Sprint(r.Status)
		}
		return fmt.Sprint(r.Status, " ", r.Saw().Endpoint)
	}
	if got := answer(); !strings.HasPrefix(got, "503") {
		t.Fatal("without workloads: ", got)
	}
	var sick atomic.Bool
	echo := &lab.Echo{Name: "machine"}
	w := m.Machine("machine", "machines", "web", "httpGet: {port: PORT, path: /healthz}, periodSeconds: 1", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path != "/healthz":
			echo.ServeHTTP(rw, r)
		case sick.Load():
			rw.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	m.Until("the machine gets traffic", func() bool { return answer() == "200 machine" })
	sick.Store(true)
	m.Until("its probe fails, so it gets none", func() bool { return strings.HasPrefix(answer(), "503") })
	sick.Store(false)
	m.Until("it is well again", func() bool { return answer() == "200 machine" })
	m.StopControl()
	m.StartControl()
	m.Until("another control plane knows it", func() bool { return answer() == "200 machine" })
	w.Stop()
	m.Until("it is gone", func() bool { return strings.HasPrefix(answer(), "503") })
	if problems := m.Problems(); len(problems) > 0 {
		t.Error(problems)
	}
}
