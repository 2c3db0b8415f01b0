package api

import (
	"strings"
	"testing"
)

func TestPlaces(t *testing.T) {
	const text = `# a comment
apiVersion: v1
kind: Service
metadata: {name: a}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: b
spec:
  http:
  - match:
    - headers:
        a.b: {exact: c}
---
apiVersion: v1
kind: List
items:
- {kind: Service, metadata: {name: x}}
- kind: Service
  metadata: {name: y}
- kind: Service
  metadata: {name: y, namespace: shop}
`
	p := PlacesOf([]byte(text))
	for _, c := range []struct {
		line        int
		name, field string
		want        Position
	}{
		{2, "a", "metadata.name", Position{4, 12}},
		{6, "b", `spec.http[0].match[0].headers["a.b"].exact`, Position{14, 15}},
		{6, "b", "spec.http[0].route", Position{12, 5}},
		{6, "b", "", Position{6, 1}},
		{6, "b", `spec.http[9].x["`, Position{11, 3}},
		{16, "y", "metadata", Position{21, 3}},
		{16, "shop/y", "metadata", Position{23, 3}},
		{99, "y", "metadata", Position{}},
	} {
		ns, name, ok := strings.Cut(c.name, "/")
		if !ok {
			ns, name = "default", c.name
		}
		if got := p.Find(c.line, Ref{Kind: "Service", Namespace: Namespace(ns), Name: name}, c.field); got != c.want {
			t.Errorf("%d %s: %v, want %v", c.line, c.field, got, c.want)
		}
	}
}
