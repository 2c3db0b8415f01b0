package admin

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/xds"
)

// eachEndpoint visits clusters in the order of their names.
func (s *Server) eachEndpoint(cluster func(*config.Cluster), endpoint func(*config.Cluster, *config.Locality, *config.Endpoint, Host)) {
	all := s.Live.Current().Clusters
	for _, name := range slices.Sorted(maps.Keys(all)) {
		c := all[name]
		cluster(c)
		if c.Endpoints == nil {
			continue
		}
		for i := range c.Endpoints.Localities {
			l := &c.Endpoints.Localities[i]
			for _, e := range l.Endpoints {
				var h Host
				if s.Host != nil {
					h = s.Host(c, e)
				}
				endpoint(c, l, e, h)
			}
		}
	}
}

func endpointAddress(e *config.Endpoint) string {
	switch {
	case e.Path != "":
		return e.Path
	case e.Host != "":
		return fmt.Sprintf("%s:%d", e.Host, e.Port)
	}
	return e.Address.String()
}

func healthFlags(e *config.Endpoint, h Host) string {
	var flags []string
	for _, f := range []struct {
		set  bool
		flag string
	}{
		{h.FailedActive, "/failed_active_hc"}, {h.Ejected, "/failed_outlier_check"}, {h.DegradedActive, "/degraded_active_hc"}, {h.PendingActive, "/pending_active_hc"},
		{h.Excluded, "/excluded_via_immediate_hc_fail"}, {h.ActiveTimeout, "/active_hc_timeout"},
	} {
		if f.set {
			flags = append(flags, f.flag)
		}
	}
	switch e.Health {
	case config.Unhealthy, config.Draining:
		flags = append(flags, "/failed_eds_health")
	case config.Degraded:
		flags = append(flags, "/degraded_eds_health")
	}
	if len(flags) == 0 {
		return "healthy"
	}
	return strings.Join(flags, "")
}

func (s *Server) clusters(w http.ResponseWriter, r *http.Request) {
	if r.FormValue("format") == "json" {
		s.clustersJSON(w)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=UTF-8")
	static := s.staticClusters()
	s.eachEndpoint(func(c *config.Cluster) {
		_, _ = fmt.Fprintf(w, "%s::observability_name::%s\n%s::added_via_api::%t\n", c.Name, cmp.Or(c.AltStat, c.Name), c.Name, !static[c.Name])
		for i, priority := range []string{"default_priority", "high_priority"} {
			t := c.Thresholds[i]
			_, _ = fmt.Fprintf(w, "%s::%s::max_connections::%d\n%s::%s::max_pending_requests::%d\n%s::%s::max_requests::%d\n%s::%s::max_retries::%d\n",
				c.Name, priority, t.Connections, c.Name, priority, t.Pending, c.Name, priority, t.Requests, c.Name, priority, t.Retries)
		}
	}, func(c *config.Cluster, l *config.Locality, e *config.Endpoint, h Host) {
		at := c.Name + "::" + endpointAddress(e) + "::"
		for _, line := range []struct {
			key   string
			value any
		}{
			{"cx_active", h.ConnectionsActive}, {"cx_total", h.ConnectionsTotal}, {"rq_active", h.RequestsActive}, {"rq_total", h.RequestsTotal}, {"rq_error", h.RequestsFail},
			{"hostname", e.Hostname}, {"health_flags", healthFlags(e, h)}, {"weight", e.Weight}, {"region", l.Region}, {"zone", l.Zone}, {"sub_zone", l.Subzone}, {"priority", l.Priority},
		} {
			_, _ = fmt.Fprintf(w, "%s%s::%v\n", at, line.key, line.value)
		}
	})
}

// staticClusters are those of the bootstrap file.
func (s *Server) staticClusters() map[string]bool {
	static := map[string]bool{}
	for _, x := range s.Live.Dump(xds.Cluster) {
		static[x.Name.Name] = x.Static
	}
	return static
}

func (s *Server) clustersJSON(w http.ResponseWriter) {
	static := s.staticClusters()
	out := &adminv3.Clusters{}
	s.eachEndpoint(func(c *config.Cluster) {
		out.ClusterStatuses = append(out.ClusterStatuses, &adminv3.ClusterStatus{Name: c.Name, ObservabilityName: cmp.Or(c.AltStat, c.Name), AddedViaApi: !static[c.Name], EdsServiceName: edsName(c)})
	}, func(_ *config.Cluster, l *config.Locality, e *config.Endpoint, h Host) {
		status := &adminv3.HostStatus{
			Address: address(e), Weight: e.Weight, Hostname: e.Hostname, Priority: l.Priority, Locality: &corev3.Locality{Region: l.Region, Zone: l.Zone, SubZone: l.Subzone},
			HealthStatus: &adminv3.HostHealthStatus{
				FailedActiveHealthCheck: h.FailedActive, FailedOutlierCheck: h.Ejected, FailedActiveDegradedCheck: h.DegradedActive, PendingActiveHc: h.PendingActive,
				ExcludedViaImmediateHcFail: h.Excluded, ActiveHcTimeout: h.ActiveTimeout, EdsHealthStatus: edsHealth(e.Health),
			},
			Stats: []*adminv3.SimpleMetric{
				{Name: "cx_active", Type: adminv3.SimpleMetric_GAUGE, Value: h.ConnectionsActive}, {Name: "cx_total", Value: h.ConnectionsTotal},
				{Name: "rq_active", Type: adminv3.SimpleMetric_GAUGE, Value: h.RequestsActive}, {Name: "rq_error", Value: h.RequestsFail}, {Name: "rq_total", Value: h.RequestsTotal},
			},
		}
		last := out.ClusterStatuses[len(out.ClusterStatuses)-1]
		last.HostStatuses = append(last.HostStatuses, status)
	})
	message(w, out)
}

func edsName(c *config.Cluster) string {
	if c.Type == config.EDS {
		return c.ServiceName
	}
	return ""
}

// edsHealth: an endpoint without a status counts as healthy.
func edsHealth(h config.HealthStatus) corev3.HealthStatus {
	switch h {
	case config.Unhealthy:
		return corev3.HealthStatus_UNHEALTHY
	case config.Draining:
		return corev3.HealthStatus_DRAINING
	case config.Degraded:
		return corev3.HealthStatus_DEGRADED
	}
	return corev3.HealthStatus_HEALTHY
}

func address(e *config.Endpoint) *corev3.Address {
	switch {
	case e.Path != "":
		return pipe(e.Path)
	case e.Host != "":
		return socket(e.Host, e.Port)
	}
	return socket(e.Address.Addr().String(), e.Address.Port())
}

func pipe(path string) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_Pipe{Pipe: &corev3.Pipe{Path: path}}}
}

func socket(host string, port uint16) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{Address: host, PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(port)}}}}
}

// parseAddress reads IP:PORT, or takes the text as the path of a unix socket.
func parseAddress(s string) *corev3.Address {
	if a, err := netip.ParseAddrPort(s); err == nil {
		return socket(a.Addr().String(), a.Port())
	}
	return pipe(s)
}

// certs lists the workload's own certificate and those that it was given; keys are never shown.
func (s *Server) certs(w http.ResponseWriter, _ *http.Request) {
	out := &adminv3.Certificates{}
	if s.Identity != nil {
		if id := s.Identity(); id != nil {
			c := &adminv3.Certificate{CertChain: []*adminv3.CertificateDetails{details("default", id.Leaf)}}
			for _, root := range id.RootCertificates() {
				c.CaCert = append(c.CaCert, details("ROOTCA", root))
			}
			out.Certificates = append(out.Certificates, c)
		}
	}
	if s.Certificates != nil {
		for _, held := range s.Certificates() {
			if held.Local {
				continue
			}
			c := &adminv3.Certificate{}
			for _, leaf := range held.Chain {
				c.CertChain = append(c.CertChain, details(held.Name, leaf))
			}
			out.Certificates = append(out.Certificates, c)
		}
	}
	messageWith(w, out, true)
}

func daysLeft(t time.Time) uint64 {
	return uint64(max(time.Until(t), 0) / (24 * time.Hour))
}

func stamp(t time.Time) *timestamppb.Timestamp { return timestamppb.New(t) }
