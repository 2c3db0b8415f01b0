package announce

import (
	"net/netip"
	"strings"
	"testing"
)

func sample() Workload {
	return Workload{
		Kind: Sidecar, Name: "web-1", Namespace: "shop", Account: "web", IPs: []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")}, Labels: map[string]string{"app": "web"},
		ClusterID: "Kubernetes", TrustDomain: "cluster.local", DNSDomain: "cluster.local", Interception: "REDIRECT", Agent: "heddle-proxy", Version: "1", Features: Features(), Zone: "z",
	}
}

func TestNodeIsIstios(t *testing.T) {
	w := sample()
	if err := w.Check(); err != nil {
		t.Fatal(err)
	}
	n, err := w.Node()
	if err != nil {
		t.Fatal(err)
	}
	f := n.GetMetadata().GetFields()
	if n.GetId() != "sidecar~10.0.0.1~web-1.shop~shop.svc.cluster.local" || n.GetCluster() != "web.shop" || f["INSTANCE_IPS"].GetStringValue() != "10.0.0.1,fd00::1" ||
		f["LABELS"].GetStructValue().GetFields()["app"].GetStringValue() != "web" || len(f["HEDDLE_FEATURES"].GetListValue().GetValues()) != len(Features()) || f["NETWORK"] != nil || n.GetLocality().GetZone() != "z" {
		t.Errorf("%v", n)
	}
	if id, _ := w.ID(); id.String() != "spiffe://cluster.local/ns/shop/sa/web" {
		t.Errorf("%v", id)
	}
}

func TestApplicationsAreToldInOrder(t *testing.T) {
	w := sample()
	w.Interception, w.Applications = "NONE", map[uint16]netip.AddrPort{15007: netip.MustParseAddrPort("[::1]:80"), 15006: netip.MustParseAddrPort("127.0.0.1:9000")}
	if err := w.Check(); err != nil {
		t.Fatal(err)
	}
	n, err := w.Node()
	if err != nil {
		t.Fatal(err)
	}
	if got := n.GetMetadata().GetFields()["HEDDLE_APPLICATIONS"].GetStringValue(); got != "15006=127.0.0.1:9000,15007=[::1]:80" {
		t.Error(got)
	}
}

func TestWhatIsMissingIsNamed(t *testing.T) {
	for flag, spoil := range map[string]func(*Workload){
		"--name": func(w *Workload) { w.Name = "" }, "--namespace": func(w *Workload) { w.Namespace = "" }, "--service-account": func(w *Workload) { w.Account = "" },
		"--ip": func(w *Workload) { w.IPs = nil }, "--interception-mode": func(w *Workload) { w.Interception = "MAGIC" }, "trust domain": func(w *Workload) { w.TrustDomain = "A B" },
		"--register-group": func(w *Workload) { w.Group, w.Entry = "a", "b" },
	} {
		w := sample()
		spoil(&w)
		if err := w.Check(); err == nil || !strings.Contains(err.Error(), flag) {
			t.Errorf("%s: error %v", flag, err)
		}
	}
}
