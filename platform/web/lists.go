package web

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/heddle-mesh/heddle/mesh"
	"github.com/heddle-mesh/heddle/platform/observe/graph"
)

// signals are what the metrics tell of a row; without any, Health says so.
type signals struct {
	Node   string        `json:"node,omitempty"` // id in the graph of that type
	Health graph.Health  `json:"health"`
	In     graph.Traffic `json:"in"`
	Out    graph.Traffic `json:"out"`
	Own    *float64      `json:"own"`
}

// serviceRow is one service.
type serviceRow struct {
	Name      string    `json:"name"`
	Namespace string    `json:"namespace"`
	Host      string    `json:"host"`
	Registry  string    `json:"registry"`
	Ports     []portRow `json:"ports"`
	Healthy   int       `json:"healthyEndpoints"`
	Endpoints int       `json:"endpoints"`
	signals
}

type portRow struct {
	Name   string `json:"name,omitempty"`
	Number uint16 `json:"number"`
}

// workloadRow is one workload: all its instances together.
type workloadRow struct {
	Name      string   `json:"name"`
	Namespace string   `json:"namespace"`
	Cluster   string   `json:"cluster,omitempty"`
	Account   string   `json:"serviceAccount,omitempty"`
	Instances int      `json:"instances"`
	Services  []string `json:"services"`
	signals
}

// list is an answer with rows, and why they have no signals if so.
type list[T any] struct {
	Items   []T    `json:"items"`
	Warning string `json:"warning,omitempty"`
}

func (s *site) services(rw http.ResponseWriter, r *http.Request) {
	now, ok := s.snapshot(rw)
	if !ok {
		return
	}
	nodes, warning := s.nodes(r, graph.Service)
	out := list[serviceRow]{Items: []serviceRow{}, Warning: warning}
	for _, v := range now.Services.All() {
		row := serviceRow{Name: cmp.Or(v.ShortName, string(v.ID.Host)), Namespace: string(v.ID.Namespace), Host: string(v.ID.Host), Registry: v.Registry, Ports: []portRow{}}
		for _, p := range v.Ports {
			row.Ports = append(row.Ports, portRow{p.Name, p.Number})
		}
		if set, ok := now.Endpoints.Get(v.ID); ok {
			for _, e := range set.Endpoints {
				row.Endpoints++
				if e.Health == mesh.Healthy {
					row.Healthy++
				}
			}
		}
		row.signals = nodes.find(row.Namespace, row.Name)
		out.Items = append(out.Items, row)
	}
	slices.SortStableFunc(out.Items, func(a, b serviceRow) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name), strings.Compare(a.Host, b.Host))
	})
	answer(rw, http.StatusOK, out)
}

func (s *site) workloads(rw http.ResponseWriter, r *http.Request) {
	now, ok := s.snapshot(rw)
	if !ok {
		return
	}
	nodes, warning := s.nodes(r, graph.Workload)
	byName := map[[3]string]*workloadRow{}
	for id, v := range now.Workloads.All() {
		name := cmp.Or(v.Name, id.Name)
		key := [3]string{string(id.Namespace), name, string(id.Cluster)}
		row := byName[key]
		if row == nil {
			row = &workloadRow{Name: name, Namespace: string(id.Namespace), Cluster: string(id.Cluster), Account: v.ServiceAccount, Services: []string{}, signals: nodes.find(string(id.Namespace), name)}
			byName[key] = row
		}
		row.Instances++
		for _, sv := range v.Services {
			if host := string(sv.Service.Host); !slices.Contains(row.Services, host) {
				row.Services = append(row.Services, host)
			}
		}
	}
	out := list[workloadRow]{Items: []workloadRow{}, Warning: warning}
	for _, row := range byName {
		out.Items = append(out.Items, *row)
	}
	slices.SortFunc(out.Items, func(a, b workloadRow) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name), strings.Compare(a.Cluster, b.Cluster))
	})
	answer(rw, http.StatusOK, out)
}

func (s *site) snapshot(rw http.ResponseWriter) (*mesh.Snapshot, bool) {
	now := s.Mesh.Current()
	if now == nil {
		fail(rw, http.StatusServiceUnavailable, "heddled has not read the mesh yet; try again in a moment")
	}
	return now, now != nil
}

// named are the nodes of a graph by namespace/name.
type named map[string]*graph.Node

func (n named) find(namespace, name string) signals {
	if g := n[namespace+"/"+name]; g != nil {
		return signals{g.ID, g.Health, g.In, g.Out, g.Own}
	}
	return signals{Health: graph.Health{State: graph.Idle, Reason: "No traffic in this window."}}
}

// nodes asks for the graph whose nodes are rows. A mesh without metrics has rows too.
func (s *site) nodes(r *http.Request, t graph.Type) (named, string) {
	out := named{}
	o, err := s.question(r.URL.Query())
	if err != nil {
		return out, err.Error()
	}
	o.Type = t
	g, err := s.read(context.WithoutCancel(r.Context()), o)
	if err != nil {
		return out, err.Error()
	}
	for i, n := range g.Nodes {
		out[n.Namespace+"/"+n.Name] = &g.Nodes[i]
	}
	return out, strings.Join(g.Warnings, " ")
}
