package mesh

import (
	"slices"
	"testing"
)

func TestDiffNamesWhatChanged(t *testing.T) {
	old := NewSnapshot(&Settings{TrustDomain: "cluster.local"})
	id := ServiceID{Namespace: "shop", Host: "web.shop.svc.cluster.local"}
	old.Services = old.Services.With(id, &Service{ID: id})

	churn := *old
	churn.Endpoints = churn.Endpoints.With(id, &EndpointSet{Service: id})
	if got, want := slices.Collect(Diff(old, &churn)), []Key{{OfEndpoints, id}, {Noun: OfEndpoints}}; !slices.Equal(got, want) {
		t.Errorf("an endpoint change gives %v, want %v", got, want)
	}
	settings := *old
	settings.Settings = &Settings{TrustDomain: "other"}
	if got, want := slices.Collect(Diff(old, &settings)), []Key{{Noun: OfSettings}}; !slices.Equal(got, want) {
		t.Errorf("a settings change gives %v, want %v", got, want)
	}
	same := *old
	same.Settings = &Settings{TrustDomain: "cluster.local"}
	if got := slices.Collect(Diff(old, &same)); got != nil {
		t.Errorf("equal settings give %v", got)
	}
	gone := *old
	gone.Services = gone.Services.Without(id)
	if got, want := slices.Collect(Diff(old, &gone)), []Key{{OfServices, id}, {Noun: OfServices}}; !slices.Equal(got, want) {
		t.Errorf("a removal gives %v, want %v", got, want)
	}
	if got := slices.Collect(Diff(nil, old)); len(got) != 3 {
		t.Errorf("from nothing: %v", got)
	}
}
