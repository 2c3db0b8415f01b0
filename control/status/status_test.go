package status

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/config"
	"github.com/heddle-mesh/heddle/control/translate/condition"
	"github.com/heddle-mesh/heddle/mesh"
	"github.com/heddle-mesh/heddle/xds"
)

func object(t *testing.T, kind, name string, generation int) api.Object {
	t.Helper()
	text := fmt.Sprintf("apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: %s, namespace: shop, generation: %d}\nspec: {hosts: [a], http: [{route: [{destination: {host: a}}]}]}\n", name, generation)
	if kind == "HTTPRoute" {
		text = fmt.Sprintf("apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: %s, namespace: shop, generation: %d}\nspec: {parentRefs: [{name: gw}]}\n", name, generation)
	}
	o, ps := api.Decode([]byte(text))
	if len(ps) > 0 {
		t.Fatal(ps)
	}
	return o
}

// memory is a Writer that stores what is written where the board reads it, as an API does.
type memory struct {
	store  *config.Store
	mu     sync.Mutex
	writes []time.Time
	fail   []error
}

func (m *memory) WriteStatus(_ context.Context, o api.Object, status map[string]any) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.writes = append(m.writes, time.Now())
	if len(m.fail) > 0 {
		err := m.fail[0]
		m.fail = m.fail[1:]
		return err
	}
	o.Status = status
	m.store.Put("test", o, nil)
	return nil
}

// written is when was written.
func (m *memory) written() []time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.writes)
}

func start(t *testing.T) (*Board, *memory) {
	m := &memory{store: config.New()}
	b := New(m.store, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); b.Run(ctx, m) }()
	t.Cleanup(func() { cancel(); <-done })
	return b, m
}

func (m *memory) tell(b *Board, o api.Object, problems ...mesh.Problem) {
	if e, ok := m.store.Get(o.Ref()); ok {
		o.Status = e.Object.Status // an API keeps it
	}
	m.store.Put("test", o, nil)
	s := condition.Istio(o.Meta.Generation, problems)
	b.Tell(o.Ref(), problems, &s)
}

func TestChangesOfASecondAreOneWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, m := start(t)
		for g := range 10 {
			m.tell(b, object(t, "", "x", g+1))
			time.Sleep(50 * time.Millisecond)
		}
		time.Sleep(3 * time.Second)
		if len(m.written()) != 1 {
			t.Errorf("%d writes", len(m.written()))
		}
		e, _ := m.store.Get(object(t, "", "x", 1).Ref())
		if got := fmt.Sprint(e.Object.Status["observedGeneration"]); got != "10" {
			t.Error("generation", got)
		}
		// The same again is no write.
		m.tell(b, e.Object)
		time.Sleep(3 * time.Second)
		if len(m.written()) != 1 {
			t.Errorf("%d writes after nothing changed", len(m.written()))
		}
	})
}

func TestAtMostTwentyWritesASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, m := start(t)
		for i := range 100 {
			m.tell(b, object(t, "", fmt.Sprint("x", i), 1))
		}
		time.Sleep(20 * time.Second)
		if len(m.written()) != 100 {
			t.Fatalf("%d writes", len(m.written()))
		}
		for i := 20; i < len(m.written()); i++ {
			if d := m.written()[i].Sub(m.written()[i-20]); d < time.Second {
				t.Fatalf("21 writes within %v", d)
			}
		}
	})
}

func TestTransitionTimeAndErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, m := start(t)
		m.fail = []error{config.ErrStale, fmt.Errorf("the API is away")}
		o := object(t, "", "x", 1)
		m.tell(b, o)
		time.Sleep(10 * time.Second)
		if len(m.written()) != 3 {
			t.Fatalf("%d writes, want two that fail and one", len(m.written()))
		}
		accepted := func() map[string]any {
			e, _ := m.store.Get(o.Ref())
			return items(e.Object.Status["conditions"])[0]
		}
		first := accepted()
		time.Sleep(time.Minute)
		bad := mesh.Problem{Object: o.Ref(), Field: "spec.x", Code: mesh.CodeNotEnforced, Message: "x is not honoured yet"}
		m.tell(b, o, bad)
		time.Sleep(5 * time.Second)
		if got := accepted(); got["lastTransitionTime"] != first["lastTransitionTime"] {
			t.Error("Accepted did not change, but its time did")
		}
		e, _ := m.store.Get(o.Ref())
		enforced := items(e.Object.Status["conditions"])[1]
		if enforced["status"] != "False" || enforced["lastTransitionTime"] == first["lastTransitionTime"] || !strings.Contains(enforced["message"].(string), "spec.x") {
			t.Error(enforced)
		}
	})
}

func TestRejectionsReachTheObject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, m := start(t)
		o := object(t, "", "x", 1)
		m.tell(b, o)
		r := NewRejections()
		name := xds.Name{TypeURL: xds.Route, Name: "80"}
		v1, v2 := xds.FromBytes(name, []byte("1"), o.Ref().String()), xds.FromBytes(name, []byte("2"), o.Ref().String())
		r.Rejected("proxy-1", v1, "bad regex")
		b.Extra("proxies", r.Problems(m.store))
		time.Sleep(4 * time.Second)
		enforced := func() map[string]any {
			e, _ := m.store.Get(o.Ref())
			return items(e.Object.Status["conditions"])[1]
		}
		if c := enforced(); c["reason"] != string(CodeRejected) || !strings.Contains(c["message"].(string), "proxy-1: bad regex") {
			t.Error(c)
		}
		r.Acked("proxy-1", []*xds.Resource{v1}) // the version that it refused is no news
		if len(r.Problems(m.store)) != 1 {
			t.Error("taken back too early")
		}
		r.Acked("proxy-1", []*xds.Resource{v2})
		b.Extra("proxies", r.Problems(m.store))
		time.Sleep(4 * time.Second)
		if c := enforced(); c["status"] != "True" {
			t.Error(c)
		}
		r.Rejected("proxy-2", v1, "")
		r.Gone("proxy-2")
		if len(r.Problems(m.store)) != 0 {
			t.Error("a proxy that left still refuses")
		}
	})
}

func TestOthersConditionsStay(t *testing.T) {
	var present map[string]any
	err := json.Unmarshal([]byte(`{"parents":[
		{"controllerName":"example.com/other","parentRef":{"name":"gw"},"conditions":[{"type":"Accepted","status":"True"}]},
		{"controllerName":"heddle.dev/gateway-controller","parentRef":{"group":"gateway.networking.k8s.io","kind":"Gateway","name":"gw"},
		 "conditions":[{"type":"Accepted","status":"True","reason":"Accepted","message":"","observedGeneration":1,"lastTransitionTime":"2026-01-01T00:00:00Z"},{"type":"Old","status":"True"}]},
		{"controllerName":"heddle.dev/gateway-controller","parentRef":{"name":"gone"},"conditions":[]}]}`), &present)
	if err != nil {
		t.Fatal(err)
	}
	want := &condition.Status{Parents: []condition.Parent{{ParentRef: condition.ParentRef{Name: "gw"}, Controller: condition.Controller,
		Conditions: []condition.Condition{{Type: "Accepted", Status: "True", Reason: "Accepted", ObservedGeneration: 1}}}}}
	doc, changed := document(want, present, time.Now())
	if !changed {
		t.Error("an old entry of ours stays")
	}
	list := items(doc["parents"])
	if len(list) != 2 || list[0]["controllerName"] != "example.com/other" || len(items(list[1]["conditions"])) != 1 {
		t.Errorf("%v", list)
	}
	if items(list[1]["conditions"])[0]["lastTransitionTime"] != "2026-01-01T00:00:00Z" {
		t.Error("the time of an unchanged condition changed")
	}
	again, changed := document(want, doc, time.Now().Add(time.Hour))
	if changed {
		t.Error("written twice", cmp.Diff(doc, again))
	}
	istio := condition.Istio(1, nil)
	doc, _ = document(&istio, map[string]any{"conditions": []any{map[string]any{"type": "Reconciled", "status": "True"}}, "validationMessages": []any{}}, time.Now())
	if c := items(doc["conditions"]); len(c) != 3 || c[0]["type"] != "Reconciled" {
		t.Error(c)
	}
}

// A Service gets a condition when there is something to say, keeps the conditions of others, and hears when it is over.
func TestConditionOfCoreKinds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, m := start(t)
		o, _ := api.Decode([]byte("apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop}\nstatus: {conditions: [{type: Other, status: \"True\"}]}\n"))
		m.store.Put("test", o, nil)
		b.Tell(o.Ref(), nil, nil)
		time.Sleep(3 * time.Second)
		if n := len(m.written()); n != 0 {
			t.Fatalf("%d writes, and there is nothing to say", n)
		}
		enforced := func() map[string]any {
			e, _ := m.store.Get(o.Ref())
			list := items(e.Object.Status["conditions"])
			if len(list) != 2 || list[0]["type"] != "Other" {
				t.Fatal(list)
			}
			return list[1]
		}
		b.Tell(o.Ref(), []mesh.Problem{{Object: o.Ref(), Field: "spec.sessionAffinity", Code: mesh.CodeNotEnforced, Message: "it is not honoured"}}, nil)
		b.Extra("compiler", []mesh.Problem{{Object: o.Ref(), Field: "spec.ports", Code: mesh.CodeNotEnforced, Message: "a port is passed as TCP"}})
		time.Sleep(3 * time.Second)
		if c := enforced(); c["type"] != condition.CoreEnforced || c["status"] != "False" || c["reason"] != "NotEnforced" ||
			c["message"] != "spec.sessionAffinity: it is not honoured. spec.ports: a port is passed as TCP" {
			t.Error(c)
		}
		if got := b.Conditions()[o.Ref().String()]; got == nil || len(got.Conditions) != 1 {
			t.Errorf("the debug page has %v", got)
		}
		b.Tell(o.Ref(), nil, nil)
		b.Extra("compiler", nil)
		time.Sleep(3 * time.Second)
		if c := enforced(); c["status"] != "True" || len(m.written()) != 2 {
			t.Error(c, len(m.written()))
		}
	})
}

func TestAddressesGo(t *testing.T) {
	gone := &condition.Status{Listeners: []condition.Listener{{Name: "http"}}}
	present := map[string]any{"addresses": []any{map[string]any{"type": "IPAddress", "value": "192.0.2.1"}}, "listeners": plain(gone)["listeners"]}
	doc, changed := document(gone, present, time.Now())
	if list, ok := doc["addresses"].([]any); !changed || !ok || len(list) != 0 {
		t.Errorf("the last address stays: %v", doc["addresses"])
	}
	if _, again := document(gone, map[string]any{"addresses": []any{}, "listeners": doc["listeners"]}, time.Now()); again {
		t.Error("written twice")
	}
	entry := &condition.Status{Assigned: true}
	if doc, changed := document(entry, map[string]any{"addresses": []any{map[string]any{"value": "240.240.0.1", "host": "a"}}}, time.Now()); !changed || fmt.Sprint(doc["addresses"]) != "[]" {
		t.Errorf("an entry's last address stays: %v", doc["addresses"])
	}
}
