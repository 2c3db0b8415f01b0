package announce

import "strings"

// Place is where the workload runs: what the operator said, else what its labels say. istio-locality is REGION/ZONE/SUBZONE, with dots for slashes, because a label has none; Kubernetes
// copies region and zone of the node onto its pods.
func (w *Workload) Place() (region, zone, subzone string) {
	if w.Region+w.Zone+w.Subzone != "" {
		return w.Region, w.Zone, w.Subzone
	}
	text := w.Labels["istio-locality"]
	if text == "" {
		return w.Labels["topology.kubernetes.io/region"], w.Labels["topology.kubernetes.io/zone"], w.Labels["topology.istio.io/subzone"]
	}
	if !strings.Contains(text, "/") {
		text = strings.ReplaceAll(text, ".", "/")
	}
	p := append(strings.SplitN(text, "/", 3), "", "")
	return p[0], p[1], p[2]
}
