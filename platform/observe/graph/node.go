package graph

import (
	"cmp"
	"strings"
)

// end is one end of an edge, by what makes it one node.
type end struct {
	kind                              Kind
	namespace, name, version, cluster string
	app, revision                     string // what is told beside the name
}

// id names a node for people too: it is in the addresses of pages.
func (e end) id() string {
	if e.kind == KindUnknown {
		return string(KindUnknown)
	}
	id := string(e.kind) + ":" + e.namespace + "/" + e.name
	if e.version != "" {
		id += "/" + e.version
	}
	if e.cluster != "" {
		id += "@" + e.cluster
	}
	return id
}

// names finds the ends of samples for one type of graph.
type names struct {
	graph    Type
	clusters map[[3]string]string // by end, namespace/name: the cluster that somebody knows; "?" when there are several
	services map[[2]string]string // by namespace and canonical service: the service by which it is asked most
}

// source is who called.
func (n *names) source(l labels) end {
	if n.graph == Service {
		app, namespace := l.get("source_canonical_service"), l.get("source_workload_namespace")
		if s := n.services[[2]string{namespace, app}]; s != "" && app != "" {
			return end{kind: KindService, namespace: namespace, name: s}
		}
	}
	return n.runs(l, "source")
}

// target is who was called: what ran, or what was asked for when nothing is known to have answered.
func (n *names) target(l labels) end {
	if n.graph == Service {
		return asked(l)
	}
	if e := n.runs(l, "destination"); e.kind != KindUnknown {
		return e
	}
	return asked(l)
}

// runs is a workload or its app.
func (n *names) runs(l labels, side string) end {
	e := end{
		kind: KindWorkload, name: l.get(side + "_workload"), namespace: l.get(side + "_workload_namespace"), cluster: l.get(side + "_cluster"),
		app: l.get(side + "_canonical_service"), revision: l.get(side + "_canonical_revision"),
	}
	if n.graph != Workload && e.app != "" {
		e.kind, e.name = KindApp, e.app
		if n.graph == VersionedApp {
			e.version = cmp.Or(e.revision, "latest")
		}
	}
	if e.name == "" {
		return end{kind: KindUnknown, name: "unknown"}
	}
	if e.kind == KindApp && n.graph != VersionedApp {
		e.revision = ""
	}
	if e.cluster == "" { // one end does not always know where the other is
		if known := n.clusters[[3]string{string(e.kind), e.namespace, e.name}]; known != "?" {
			e.cluster = known
		}
	}
	return e
}

// asked is the service that a client meant.
func asked(l labels) end {
	name, namespace := l.get("destination_service_name"), l.get("destination_service_namespace")
	if name == "" {
		name = l.get("destination_service")
	}
	if name == "" {
		return end{kind: KindUnknown, name: "unknown"}
	}
	return end{kind: KindService, namespace: namespace, name: name, app: ""}
}

// learn looks through all samples once for what single ones do not say.
func (n *names) learn(samples []sample) {
	n.clusters, n.services = map[[3]string]string{}, map[[2]string]string{}
	for _, s := range samples {
		for _, side := range []string{"source", "destination"} {
			e := n.runs(s.labels, side)
			if e.kind == KindUnknown || e.cluster == "" {
				continue
			}
			switch key := [3]string{string(e.kind), e.namespace, e.name}; n.clusters[key] {
			case "", e.cluster:
				n.clusters[key] = e.cluster
			default:
				n.clusters[key] = "?"
			}
		}
	}
	if n.graph != Service {
		return
	}
	most, rate := map[[2]string]float64{}, map[[3]string]float64{}
	for _, s := range samples {
		app, namespace, service := s.labels.get("destination_canonical_service"), s.labels.get("destination_workload_namespace"), s.labels.get("destination_service_name")
		if app == "" || service == "" || s.labels.get("destination_service_namespace") != namespace {
			continue
		}
		rate[[3]string{namespace, app, service}] += s.value
		key, r := [2]string{namespace, app}, rate[[3]string{namespace, app, service}]
		if old := n.services[key]; old == "" || r > most[key] || r == most[key] && service < old {
			n.services[key], most[key] = service, r
		}
	}
}

// boxes are what a node is in.
func (e end) boxes() (all []string) {
	if e.cluster != "" {
		all = append(all, "cluster:"+e.cluster)
	}
	if e.namespace != "" {
		all = append(all, "namespace:"+e.namespace)
	}
	if e.version != "" {
		all = append(all, "app:"+e.name)
	}
	return all
}

// protocol of a sample.
func protocol(l labels) string { return cmp.Or(strings.ToLower(l.get("request_protocol")), "http") }
