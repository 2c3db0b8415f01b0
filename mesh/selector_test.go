package mesh

import "testing"

func TestSelectors(t *testing.T) {
	labels := Labels{"env": "prod", "team": ""}
	for _, c := range []struct {
		name string
		s    Selector
		want bool
	}{
		{"nothing asked", Selector{}, true},
		{"a label", Selector{Labels: Labels{"env": "prod"}}, true},
		{"another value", Selector{Labels: Labels{"env": "dev"}}, false},
		{"no such label", Selector{Labels: Labels{"zone": ""}}, false},
		{"one of", Selector{Needs: []Need{{"env", In, []string{"dev", "prod"}}}}, true},
		{"none of them", Selector{Needs: []Need{{"env", In, []string{"dev"}}}}, false},
		{"one of, absent", Selector{Needs: []Need{{"zone", In, []string{""}}}}, false},
		{"not one of", Selector{Needs: []Need{{"env", NotIn, []string{"dev"}}}}, true},
		{"not one of, absent", Selector{Needs: []Need{{"zone", NotIn, []string{"a"}}}}, true},
		{"not one of, but it is", Selector{Needs: []Need{{"env", NotIn, []string{"prod"}}}}, false},
		{"there", Selector{Needs: []Need{{"team", Exists, nil}}}, true},
		{"not there", Selector{Needs: []Need{{"team", DoesNotExist, nil}}}, false},
		{"absent", Selector{Needs: []Need{{"zone", DoesNotExist, nil}}}, true},
		{"two conditions", Selector{Labels: Labels{"env": "prod"}, Needs: []Need{{"zone", Exists, nil}}}, false},
	} {
		if got := c.s.Matches(labels); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
	r := Reaches{Default: OwnNamespace, Policies: []ReachPolicy{{Everyone, []Selector{{Labels: Labels{"env": "prod"}}, {Labels: Labels{"team": "a"}}}}, {Nowhere, []Selector{{Labels: Labels{"env": "prod"}}}}}}
	for want, labels := range map[Reach]Labels{Everyone: {"env": "prod", "team": "a"}, Nowhere: {"env": "prod"}, OwnNamespace: {}} {
		if got := r.Of(labels); got != want {
			t.Errorf("%v: %v, want %v", labels, got, want)
		}
	}
}

func TestClusterLocal(t *testing.T) {
	s := Settings{Scopes: []HostScope{{"*.shop.svc.cluster.local", true}, {"cart.shop.svc.cluster.local", false}, {"*.local", false}}}
	for host, want := range map[Host]bool{"web.shop.svc.cluster.local": true, "cart.shop.svc.cluster.local": false, "web.other.svc.cluster.local": false, "a.com": false} {
		if got := s.ClusterLocal(host); got != want {
			t.Errorf("%s: %v", host, got)
		}
	}
}
