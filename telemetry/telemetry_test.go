package telemetry

import (
	"slices"
	"strings"
	"testing"
)

func TestLabelsAreIstios(t *testing.T) {
	seen := map[string]bool{}
	for _, l := range HTTPLabels() {
		name := l.String()
		if name == "" || seen[name] {
			t.Errorf("label %d has the name %q, empty or twice", l, name)
		}
		seen[name] = true
	}
	if len(seen) != 25 {
		t.Errorf("%d labels, Istio has 25", len(seen))
	}
	if ConnectionSecurityPolicy.String() != "connection_security_policy" || DestinationServiceName.String() != "destination_service_name" {
		t.Error("names and constants are out of step")
	}
	tcp := TCPLabels()
	if len(tcp) != 23 || slices.Contains(tcp, ResponseCode) {
		t.Errorf("TCP labels: %v", tcp)
	}
}

func TestMetricNamesSayTheirUnit(t *testing.T) {
	for _, m := range All() {
		if m.Shape == Counter && !strings.HasSuffix(m.Name, "_total") {
			t.Errorf("%s: a counter ends in _total", m.Name)
		}
		if m.Unit == Milliseconds && !strings.HasSuffix(m.Name, "_milliseconds") || m.Unit == Bytes && !strings.Contains(m.Name, "bytes") {
			t.Errorf("%s: the unit %s is not in the name", m.Name, m.Unit)
		}
		if m.Help == "" {
			t.Errorf("%s: no help", m.Name)
		}
	}
	if !slices.IsSorted(Buckets()) {
		t.Error("buckets do not rise")
	}
}
