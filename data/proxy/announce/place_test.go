package announce

import (
	"strings"
	"testing"
)

func TestPlace(t *testing.T) {
	for _, tt := range []struct {
		given  string
		labels map[string]string
		want   string
	}{
		{"eu/a/1", map[string]string{"istio-locality": "us.b.2"}, "eu/a/1"},
		{"", map[string]string{"istio-locality": "us.b.2", "topology.kubernetes.io/region": "ap"}, "us/b/2"},
		{"", map[string]string{"istio-locality": "us.b"}, "us/b/"},
		{"", map[string]string{"istio-locality": "us-1.2/b"}, "us-1.2/b/"},
		{"", map[string]string{"topology.kubernetes.io/region": "ap", "topology.kubernetes.io/zone": "c", "topology.istio.io/subzone": "3"}, "ap/c/3"},
		{"", nil, "//"},
	} {
		p := append(strings.SplitN(tt.given, "/", 3), "", "")
		w := Workload{Region: p[0], Zone: p[1], Subzone: p[2], Labels: tt.labels}
		if r, z, s := w.Place(); r+"/"+z+"/"+s != tt.want {
			t.Errorf("%q %v: %s/%s/%s, want %s", tt.given, tt.labels, r, z, s, tt.want)
		}
	}
}

func TestSelfDiscoveryIsAnnounced(t *testing.T) {
	for _, on := range []bool{false, true} {
		w := sample()
		w.SelfDiscovery = on
		n, err := w.Node()
		if got := n.GetMetadata().GetFields()["ENABLE_SELF_DISCOVERY"].GetStringValue(); err != nil || (got == "true") != on {
			t.Errorf("%v: %q %v", on, got, err)
		}
	}
}
