package serve

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/heddle-mesh/heddle/control/token"
	"github.com/heddle-mesh/heddle/mesh"
	"github.com/heddle-mesh/heddle/xds"
	"github.com/heddle-mesh/heddle/xds/session"
)

// Debug serves /debug/syncz, /debug/connections, /debug/config_dump?proxy=ID, /debug/edsz?proxy=ID and POST /debug/force_disconnect?proxy=ID in istiod's shapes, to
// whoever shows the bearer token. An empty token locks it.
func (s *Server) Debug(bearer string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/syncz", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, s.syncz()) })
	mux.HandleFunc("GET /debug/connections", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, s.connectionz()) })
	mux.HandleFunc("GET /debug/config_dump", s.perProxy(func(c *conn) any { return c.configDump() }))
	mux.HandleFunc("GET /debug/edsz", s.perProxy(func(c *conn) any { return c.endpoints() }))
	mux.HandleFunc("POST /debug/force_disconnect", func(w http.ResponseWriter, r *http.Request) {
		id := r.URL.Query().Get("proxy")
		c := s.find(id)
		if c == nil {
			http.Error(w, noProxy(id), http.StatusNotFound)
			return
		}
		writeJSON(w, map[string]int{"disconnected": s.Disconnect(c.proxy.ID)})
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scheme, shown, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if bearer == "" || !strings.EqualFold(scheme, "bearer") || !token.Equal(strings.TrimSpace(shown), bearer) {
			w.Header().Set("WWW-Authenticate", "Bearer")
			http.Error(w, "debug pages want the debug token: send it as \"Authorization: Bearer TOKEN\"; heddle status -o json names its file", http.StatusUnauthorized)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

func writeJSON(w http.ResponseWriter, v any) {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		http.Error(w, "encode: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(b, '\n'))
}

func noProxy(id string) string {
	if id == "" {
		return "name a proxy: ?proxy=NAME.NAMESPACE (GET /debug/connections lists them)"
	}
	return "no proxy " + id + " is connected here; GET /debug/connections lists those that are"
}

func (s *Server) perProxy(page func(*conn) any) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id := r.URL.Query().Get("proxy")
		if id == "" {
			id = r.URL.Query().Get("proxyID")
		}
		c := s.find(id)
		if c == nil {
			http.Error(w, noProxy(id), http.StatusNotFound)
			return
		}
		writeJSON(w, page(c))
	}
}

// shortID is what istioctl calls a proxy: NAME.NAMESPACE.
func shortID(p *mesh.Proxy) string {
	if p.Name == "" {
		return p.ID
	}
	return p.Name + "." + string(p.Namespace)
}

// find is the newest stream of a proxy, by node id, NAME.NAMESPACE or connection id.
func (s *Server) find(id string) (found *conn) {
	if id == "" {
		return nil
	}
	for _, c := range s.connections() {
		if (c.id == id || c.proxy.ID == id || shortID(c.proxy) == id) && (found == nil || c.since.After(found.since)) {
			found = c
		}
	}
	return found
}

// syncStatus is istiod's SyncStatus: nonces of the last response that was sent and of the last that was accepted.
type syncStatus struct {
	ClusterID     string `json:"cluster_id,omitempty"`
	ProxyID       string `json:"proxy,omitempty"`
	ProxyType     string `json:"proxy_type,omitempty"`
	ProxyVersion  string `json:"proxy_version,omitempty"`
	IstioVersion  string `json:"istio_version,omitempty"`
	ClusterSent   string `json:"cluster_sent,omitempty"`
	ClusterAcked  string `json:"cluster_acked,omitempty"`
	ListenerSent  string `json:"listener_sent,omitempty"`
	ListenerAcked string `json:"listener_acked,omitempty"`
	RouteSent     string `json:"route_sent,omitempty"`
	RouteAcked    string `json:"route_acked,omitempty"`
	EndpointSent  string `json:"endpoint_sent,omitempty"`
	EndpointAcked string `json:"endpoint_acked,omitempty"`
	ExtConfSent   string `json:"extensionconfig_sent,omitempty"`
	ExtConfAcked  string `json:"extensionconfig_acked,omitempty"`
}

func (s *Server) sorted() []*conn {
	all := s.connections()
	slices.SortFunc(all, func(a, b *conn) int { return strings.Compare(a.id, b.id) })
	return all
}

// Connected lists the proxies that have a stream, as NAME.NAMESPACE, each once.
func (s *Server) Connected() []string {
	names := []string{}
	for _, c := range s.connections() {
		names = append(names, shortID(c.proxy))
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (c *conn) status() []session.TypeStatus {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.session.Status()
}

func proxyType(p *mesh.Proxy) string {
	if p.Kind == mesh.Router {
		return "router"
	}
	return "sidecar"
}

func (s *Server) syncz() []syncStatus {
	all := []syncStatus{}
	for _, c := range s.sorted() {
		st := syncStatus{
			ClusterID: string(c.proxy.Cluster), ProxyID: shortID(c.proxy), ProxyType: proxyType(c.proxy), ProxyVersion: c.proxy.Build, IstioVersion: version(c.proxy),
		}
		for _, t := range c.status() {
			switch t.TypeURL {
			case xds.Cluster:
				st.ClusterSent, st.ClusterAcked = t.Sent, t.Acked
			case xds.Listener:
				st.ListenerSent, st.ListenerAcked = t.Sent, t.Acked
			case xds.Route:
				st.RouteSent, st.RouteAcked = t.Sent, t.Acked
			case xds.Endpoints:
				st.EndpointSent, st.EndpointAcked = t.Sent, t.Acked
			case xds.Extension:
				st.ExtConfSent, st.ExtConfAcked = t.Sent, t.Acked
			}
		}
		all = append(all, st)
	}
	return all
}

// connectionStatus is one client of /debug/connections, with what istiod does not tell: what was refused and why.
type connectionStatus struct {
	ConnectionID string       `json:"connectionId"`
	ConnectedAt  time.Time    `json:"connectedAt"`
	Address      string       `json:"address"`
	Node         string       `json:"node"`
	Identity     string       `json:"identity"`
	Build        string       `json:"build"`
	Form         string       `json:"form"`
	Watches      []typeStatus `json:"watches"`
}

type typeStatus struct {
	Type     string   `json:"type"`
	Wildcard bool     `json:"wildcard,omitempty"`
	Held     int      `json:"held"`
	Sent     string   `json:"sent,omitempty"`
	Acked    string   `json:"acked,omitempty"`
	Synced   bool     `json:"synced"`
	Refused  []string `json:"refused,omitempty"`
	Error    string   `json:"error,omitempty"`
}

type connectionz struct {
	TotalClients int                `json:"totalClients"`
	Clients      []connectionStatus `json:"clients"`
}

func (s *Server) connectionz() connectionz {
	out := connectionz{Clients: []connectionStatus{}}
	for _, c := range s.sorted() {
		st := connectionStatus{
			ConnectionID: c.id, ConnectedAt: c.since, Node: c.proxy.ID, Identity: c.proxy.Identity.String(), Build: c.proxy.Build, Form: "delta", Watches: []typeStatus{},
		}
		if c.mode == session.StateOfTheWorld {
			st.Form = "state of the world"
		}
		if len(c.proxy.Addresses) > 0 {
			st.Address = c.proxy.Addresses[0].String()
		}
		for _, t := range c.status() {
			st.Watches = append(st.Watches, typeStatus{
				Type: xds.ShortType(t.TypeURL), Wildcard: t.Wildcard, Held: t.Held, Sent: t.Sent, Acked: t.Acked, Synced: t.Synced(), Refused: t.Refused, Error: t.Error,
			})
		}
		out.Clients = append(out.Clients, st)
	}
	out.TotalClients = len(out.Clients)
	return out
}
