package status

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/mesh"
	"github.com/heddle-mesh/heddle/xds"
)

// CodeRejected says that a proxy refused what an object became; the proxy keeps what it had.
const CodeRejected mesh.Code = "Rejected"

// Rejections remembers which proxies refuse what, until they take a newer version or leave. It is safe for concurrent use and does not block.
type Rejections struct {
	mu   sync.Mutex
	refs map[rejection]refused
}

type rejection struct {
	proxy string
	name  xds.Name
}

type refused struct {
	version, text string
	origins       []string
}

// NewRejections makes an empty memory.
func NewRejections() *Rejections { return &Rejections{refs: map[rejection]refused{}} }

// Rejected notes a refusal.
func (r *Rejections) Rejected(proxy string, res *xds.Resource, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refs[rejection{proxy, res.Name}] = refused{res.Version, text, res.Origins}
}

// Acked takes a refusal back when the proxy has taken another version.
func (r *Rejections) Acked(proxy string, resources []*xds.Resource) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.refs) == 0 {
		return
	}
	for _, res := range resources {
		k := rejection{proxy, res.Name}
		if old, ok := r.refs[k]; ok && old.version != res.Version {
			delete(r.refs, k)
		}
	}
}

// Gone forgets a proxy that left.
func (r *Rejections) Gone(proxy string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for k := range r.refs {
		if k.proxy == proxy {
			delete(r.refs, k)
		}
	}
}

// Problems gives one problem for each object that some proxy refuses a part of, ordered.
func (r *Rejections) Problems(objects Objects) []mesh.Problem {
	type sum struct {
		proxies map[string]bool
		proxy   string
		one     refused
		name    xds.Name
	}
	by := map[string]*sum{}
	r.mu.Lock()
	for k, v := range r.refs {
		for _, o := range v.origins {
			s := by[o]
			if s == nil {
				s = &sum{proxies: map[string]bool{}}
				by[o] = s
			}
			if s.proxies[k.proxy] = true; s.proxy == "" || k.proxy < s.proxy {
				s.proxy, s.one, s.name = k.proxy, v, k.name
			}
		}
	}
	r.mu.Unlock()
	var out []mesh.Problem
	for origin, s := range by {
		for _, ref := range references(origin, objects) {
			out = append(out, mesh.Problem{Object: ref, Code: CodeRejected,
				Message: fmt.Sprintf("%d of the proxies refuse %s and keep what they had; the first is %s: %s", len(s.proxies), s.name, s.proxy, s.one.text)})
		}
	}
	slices.SortFunc(out, func(a, b mesh.Problem) int { return mesh.CompareRef(a.Object, b.Object) })
	return out
}

// references finds the objects that KIND/NAMESPACE/NAME names: a kind may exist in two dialects.
func references(origin string, objects Objects) (out []mesh.Ref) {
	parts := strings.Split(origin, "/")
	for _, k := range api.Kinds {
		if k.Kind != parts[0] || len(parts) < 2 {
			continue
		}
		ref := mesh.Ref{Group: k.Group, Kind: k.Kind, Name: parts[len(parts)-1]}
		if len(parts) == 3 {
			ref.Namespace = mesh.Namespace(parts[1])
		}
		if _, ok := objects.Get(ref); ok {
			out = append(out, ref)
		}
	}
	return out
}
