package report

import (
	"strconv"
	"strings"
	"testing"

	"github.com/heddle-mesh/heddle/data/proxy/config"
)

func TestAnIntroductionIsUnderstood(t *testing.T) {
	r, _ := reporter()
	p, err := NewPeers(r, "sidecar~10.0.0.1~web-v1.shop~shop.svc.cluster.local")
	if err != nil {
		t.Fatal(err)
	}
	got := r.peer(0, p.metadata)
	if got.workload != own {
		t.Errorf("%+v, want %+v", got.workload, own)
	}
	if r.peer(0, p.metadata) != got {
		t.Error("the introduction was read twice")
	}
	for i := range maxPeers + 10 {
		r.peer(0, []byte(strconv.Itoa(i)))
	}
	if n := len(r.workers[0].peers); n > maxPeers {
		t.Errorf("%d peers are remembered", n)
	}
}

func TestOwnFactsStayInTheMesh(t *testing.T) {
	local := &config.ClientTLS{TLSParams: config.TLSParams{Certificates: []config.SecretRef{{Name: "default", Local: true}}}}
	other := &config.ClientTLS{TLSParams: config.TLSParams{Certificates: []config.SecretRef{{Name: "kubernetes://a/b"}}}}
	for want, list := range map[bool][]*config.Cluster{
		true:  {{TLS: local}, {Matches: []config.TransportMatch{{}, {TLS: local}}}},
		false: {{}, {TLS: other}, {TLS: &config.ClientTLS{}}, {Matches: []config.TransportMatch{{TLS: other}, {}}}},
	} {
		for _, c := range list {
			if inside(c) != want {
				t.Errorf("%+v: %v", c, !want)
			}
		}
	}
}

func FuzzParsePeer(f *testing.F) {
	r, _ := reporter()
	p, err := NewPeers(r, "x")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(p.metadata)
	f.Add([]byte("!"))
	f.Add([]byte(strings.Repeat("A", 100)))
	f.Fuzz(func(t *testing.T, b []byte) {
		if w := ParsePeer(b); w.Name == "" && w != (Workload{}) {
			t.Fatalf("%+v", w)
		}
	})
}
