package settings

import (
	"strings"
	"testing"

	"github.com/heddle-mesh/heddle/mesh"
)

func TestLocality(t *testing.T) {
	s, problems, err := Parse([]byte("localityLbSetting: {failover: [{from: eu, to: us}], failoverPriority: [kubernetes.io/hostname]}"))
	if err != nil || len(s.Locality.Failover) != 1 || s.Locality.Failover[0] != (mesh.RegionFailover{From: "eu", To: "us"}) || s.Locality.Off {
		t.Errorf("%+v, %v", s, err)
	}
	if len(problems) != 0 || len(s.Locality.Labels) != 1 || s.Locality.Labels[0].Key != mesh.LabelHostname {
		t.Errorf("problems %v", problems)
	}
	if s, _, err := Parse([]byte("localityLbSetting: {enabled: false}")); err != nil || !s.Locality.Off {
		t.Errorf("switched off: %+v, %v", s, err)
	}
	if s, _, err := Parse([]byte("trustDomain: a.b")); err != nil || s.Locality != nil {
		t.Errorf("not said: %+v, %v", s, err)
	}
	if _, _, err := Parse([]byte("localityLbSetting: {distribute: [{from: eu, to: {us: 50}}]}")); err == nil || !strings.Contains(err.Error(), "localityLbSetting.distribute[0].to: the shares add up to 50") {
		t.Errorf("a broken setting gave %v", err)
	}
}
