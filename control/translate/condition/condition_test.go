package condition

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/heddle-mesh/heddle/mesh"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"
)

func TestIstio(t *testing.T) {
	invalid := mesh.Problem{Code: mesh.CodeInvalid, Field: "spec.a", Message: "wrong", Hint: "do this"}
	denied := mesh.Problem{Code: mesh.CodeDenied, Message: "closed"}
	ignored := mesh.Problem{Code: mesh.CodeNotEnforced, Field: "spec.b", Message: "not yet"}
	for _, c := range []struct {
		name               string
		problems           []mesh.Problem
		accepted, enforced string
	}{
		{"all well", nil, "True Accepted", "True Enforced"},
		{"broken", []mesh.Problem{ignored, invalid}, "False Invalid", "False Invalid"},
		{"broken and closed", []mesh.Problem{invalid, denied}, "False Invalid", "False Denied"},
		{"closed counts first", []mesh.Problem{ignored, denied}, "True Accepted", "False Denied"},
		{"partly", []mesh.Problem{ignored}, "True Accepted", "False NotEnforced"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := Istio(7, c.problems)
			for i, want := range []string{c.accepted, c.enforced} {
				got := s.Conditions[i]
				if got.Status+" "+got.Reason != want || got.ObservedGeneration != 7 || got.Message == "" {
					t.Errorf("condition %d: %+v, want %s", i, got, want)
				}
			}
		})
	}
}

func TestSentencesAreBounded(t *testing.T) {
	var many []mesh.Problem
	for range 500 {
		many = append(many, mesh.Problem{Field: "spec.x", Message: strings.Repeat("é", 30)})
	}
	if s := Sentences(many); len(s) > maxMessage+40 || !strings.Contains(s, "And ") || !strings.HasSuffix(s, " more") {
		t.Errorf("%d bytes: %s", len(s), s)
	}
	if s := Sentences([]mesh.Problem{{Message: strings.Repeat("é", 5000)}}); len(s) > maxMessage+10 || strings.ContainsRune(s, '�') {
		t.Errorf("%d bytes", len(s))
	}
}

// The JSON form must be that of the Gateway API's own types, so that a status can be written as it is.
func TestJSONIsThatOfTheGatewayAPI(t *testing.T) {
	group, port := "g", int32(80)
	cond := []Condition{{Type: "Accepted", Status: "True", Reason: "R", Message: "m", ObservedGeneration: 1}}
	ref := ParentRef{Group: &group, Name: "n", Port: &port}
	for _, c := range []struct{ from, into any }{
		{Status{Conditions: cond, Listeners: []Listener{{Name: "l", SupportedKinds: []RouteKind{{"g", "k"}}, AttachedRoutes: 2, Conditions: cond}}}, &gwv1.GatewayStatus{}},
		{Status{Parents: []Parent{{ParentRef: ref, Controller: Controller, Conditions: cond}}}, &gwv1.HTTPRouteStatus{}},
		{Status{Conditions: cond, Features: []Feature{{"HTTPRoute"}}}, &gwv1.GatewayClassStatus{}},
		{Status{Ancestors: []Ancestor{{AncestorRef: ref, Controller: Controller, Conditions: cond}}}, &gwv1.PolicyStatus{}},
	} {
		data, err := json.Marshal(c.from)
		if err != nil {
			t.Fatal(err)
		}
		dec := json.NewDecoder(bytes.NewReader(data))
		dec.DisallowUnknownFields()
		if err := dec.Decode(c.into); err != nil {
			t.Errorf("%s into %T: %v", data, c.into, err)
		}
	}
}
