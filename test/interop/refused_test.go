package interop_test

import (
	"encoding/json"
	"strings"
	"testing"
)

// refusedPatches are three objects: one that Envoy refuses, though every rule of its messages holds; one that is good; one that matches nothing.
const refusedPatches = `
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: refused, namespace: default}
spec:
  workloadSelector: {labels: {app: server}}
  configPatches:
  - applyTo: HTTP_FILTER
    match: {context: SIDECAR_INBOUND, listener: {portNumber: 8080}}
    patch: {operation: INSERT_FIRST, value: {name: lua, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua, default_source_code: {inline_string: "this is no Lua"}}}}
---
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: good, namespace: default}
spec:
  workloadSelector: {labels: {app: client}}
  configPatches:
  - applyTo: VIRTUAL_HOST
    match: {context: SIDECAR_OUTBOUND}
    patch: {operation: MERGE, value: {response_headers_to_add: [{header: {key: x-good, value: "yes"}}]}}
---
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: vain, namespace: default}
spec:
  configPatches: [{applyTo: CLUSTER, match: {cluster: {service: none.test}}, patch: {operation: REMOVE}}]
`

// What a live Envoy refuses is told in the status of the EnvoyFilter that it came of; other patches are in effect, and the server keeps what it had. When the object is gone, so is what was told.
func TestRefusedPatches(t *testing.T) {
	w := newWorld(t, "envoy", "")
	told := func(object, code string) string {
		var s struct {
			Problems []struct{ Object, Code, Message string }
		}
		must(t, json.Unmarshal(w.debug(t, "/debug/status"), &s))
		for _, p := range s.Problems {
			if p.Object == "EnvoyFilter/default/"+object && p.Code == code {
				return p.Message
			}
		}
		return ""
	}
	w.write("mesh/fixture.yaml", refusedPatches)
	w.until(t, "the refusal is told", func() bool { return strings.Contains(told("refused", "Rejected"), "script load error") })
	w.until(t, "the patch for nothing is told", func() bool { return told("vain", "NotFound") != "" })
	if text := told("good", "NotFound") + told("good", "Rejected"); text != "" {
		t.Errorf("of the good patch is told: %s", text)
	}
	f := parse(t, "refused", []byte("The server keeps what it had.\n-- requests.txt --\n> GET http://server:8080/a\n< 200\n< x-good: yes\n> GET http://reviews:8080/ @fd00:96::10\n< x-good: yes\n"))
	r := &run{world: w, t: t, f: &f, held: held{}}
	w.until(t, "the good patch is in effect", func() bool {
		_, text := w.admin("client", "/config_dump")
		return strings.Contains(text, "x-good")
	})
	for _, x := range f.exchanges() {
		r.exchange(&x)
	}
	w.write("mesh/fixture.yaml", strings.Replace(refusedPatches, "portNumber: 8080", "portNumber: 9", 1)) // as if it had never been: there is nothing to send, and nothing to accept
	w.until(t, "the refusal is over", func() bool { return told("refused", "Rejected") == "" && told("refused", "NotFound") != "" })
	w.write("mesh/fixture.yaml", "")
	w.until(t, "nothing is told any more", func() bool { return told("refused", "Rejected")+told("vain", "NotFound") == "" })
}
