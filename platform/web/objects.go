package web

import (
	"context"
	"net/http"
	"time"

	"github.com/heddle-mesh/heddle/mesh"
)

// objectRow is one object that users wrote.
type objectRow struct {
	Group     string    `json:"group,omitempty"`
	Kind      string    `json:"kind"`
	Namespace string    `json:"namespace,omitempty"`
	Name      string    `json:"name"`
	Source    string    `json:"source,omitempty"` // FILE:LINE
	Findings  []finding `json:"findings"`
}

// finding is one thing that is wrong.
type finding struct {
	Code    string `json:"code"`
	Field   string `json:"field,omitempty"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

func (s *site) objects(rw http.ResponseWriter, _ *http.Request) {
	var out struct {
		Items []objectRow `json:"items"`
		// Findings are those that no listed object has: of the mesh's settings, of files that are no objects.
		Findings []orphan `json:"findings"`
	}
	out.Items, out.Findings = []objectRow{}, []orphan{}
	byObject, problems := map[mesh.Ref][]finding{}, s.Mesh.Problems()
	for _, p := range problems {
		byObject[p.Object] = append(byObject[p.Object], finding{string(p.Code), p.Field, p.Message, p.Hint})
	}
	for e := range s.Mesh.Objects() {
		ref := e.Object.Ref()
		row := objectRow{Group: ref.Group, Kind: ref.Kind, Namespace: string(ref.Namespace), Name: ref.Name, Source: e.Object.Source(), Findings: []finding{}}
		if f := byObject[ref]; f != nil {
			row.Findings = f
			delete(byObject, ref)
		}
		out.Items = append(out.Items, row)
	}
	for _, p := range problems { // again, for their order
		if f := byObject[p.Object]; len(f) > 0 {
			for _, one := range f {
				out.Findings = append(out.Findings, orphan{p.Object.String(), one})
			}
			delete(byObject, p.Object)
		}
	}
	answer(rw, http.StatusOK, out)
}

type orphan struct {
	Object string `json:"object"`
	finding
}

// statusTime bounds how long the first page waits for metrics that do not answer.
const statusTime = 3 * time.Second

func (s *site) status(rw http.ResponseWriter, r *http.Request) {
	var out struct {
		Version   string   `json:"version"`
		Revision  uint64   `json:"revision"` // of the snapshot; 0 before the first
		Services  int      `json:"services"`
		Workloads int      `json:"workloads"`
		Findings  int      `json:"findings"`
		Proxies   []string `json:"proxies"`
		Metrics   struct {
			OK    bool   `json:"ok"`
			Error string `json:"error,omitempty"`
		} `json:"metrics"`
		Namespaces []string `json:"namespaces"`
	}
	out.Version, out.Findings, out.Proxies = s.Version, len(s.Mesh.Problems()), s.Mesh.Proxies()
	if now := s.Mesh.Current(); now != nil {
		out.Revision, out.Services, out.Workloads = uint64(now.Revision), now.Services.Len(), now.Workloads.Len()
		out.Namespaces = namespaces(now)
	}
	out.Metrics.OK = true
	if s.Metrics == nil {
		out.Metrics.OK, out.Metrics.Error = false, errNoMetrics.Error()
	} else {
		ctx, cancel := context.WithTimeout(r.Context(), statusTime)
		defer cancel()
		if _, _, _, err := s.Metrics.Query(ctx, "vector(1)", s.Now()); err != nil {
			out.Metrics.OK, out.Metrics.Error = false, "the metrics do not answer: "+err.Error()
		}
	}
	answer(rw, http.StatusOK, out)
}
