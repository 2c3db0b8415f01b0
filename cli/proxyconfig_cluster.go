package cli

import (
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"

	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

var clusterView = view{
	name: "cluster", aliases: []string{"clusters", "c"}, short: "Upstreams that a proxy knows", page: "/config_dump",
	rows: func(page []byte, wide bool) (*table, error) {
		t := newTable("SERVICE FQDN", "PORT", "SUBSET", "DIRECTION", "TYPE", "DESTINATION RULE")
		if wide {
			t.header = append(t.header, "BALANCER", "NAME")
		}
		list, err := clusters(page)
		sort.Slice(list, func(i, j int) bool { return clusterOrder(list[i].Name) < clusterOrder(list[j].Name) })
		for _, c := range list {
			direction, port, subset, host := nameParts(c.Name)
			row := []string{host, port, subset, direction, c.GetType().String(), ruleOf(c.GetMetadata())}
			if wide {
				row = append(row, c.GetLbPolicy().String(), c.Name)
			}
			t.add(row...)
		}
		return t, err
	},
	messages: func(page []byte) ([]proto.Message, error) {
		list, err := clusters(page)
		return asMessages(list), err
	},
}

func asMessages[T proto.Message](list []T) (out []proto.Message) {
	for _, m := range list {
		out = append(out, m)
	}
	return out
}

// appendAs decodes an Any into a T and appends it.
func appendAs[T proto.Message](list []T, a *anypb.Any) ([]T, error) {
	if a == nil {
		return list, nil
	}
	m, err := a.UnmarshalNew()
	if err != nil {
		return list, err
	}
	if t, ok := m.(T); ok {
		list = append(list, t)
	}
	return list, nil
}

func clusters(page []byte) (list []*clusterv3.Cluster, err error) {
	err = each(page, func(d *adminv3.ClustersConfigDump) (err error) {
		for _, c := range d.StaticClusters {
			if list, err = appendAs(list, c.Cluster); err != nil {
				return err
			}
		}
		for _, c := range d.DynamicActiveClusters {
			if list, err = appendAs(list, c.Cluster); err != nil {
				return err
			}
		}
		return nil
	})
	return list, err
}

// nameParts takes Istio's names apart: outbound|80|v1|svc.ns.svc.cluster.local; other names are hosts.
func nameParts(name string) (direction, port, subset, host string) {
	p := strings.SplitN(name, "|", 4)
	if len(p) != 4 {
		return "-", "-", "-", name
	}
	return p[0], p[1], orDash(p[2]), p[3]
}

func clusterOrder(name string) string {
	direction, port, subset, host := nameParts(name)
	return host + "\x00" + fmt.Sprintf("%6s", port) + subset + direction
}

// ruleOf is the DestinationRule that shaped a cluster (metadata istio.config).
func ruleOf(m *corev3.Metadata) string {
	config := m.GetFilterMetadata()["istio"].GetFields()["config"].GetStringValue()
	if i := strings.LastIndex(config, "/destination-rule/"); i >= 0 {
		ns := config[:i]
		ns = ns[strings.LastIndex(ns, "/")+1:]
		return config[i+len("/destination-rule/"):] + "." + ns
	}
	return ""
}

func localityOf(l *corev3.Locality) string {
	return orDash(strings.Trim(l.GetRegion()+"/"+l.GetZone()+"/"+l.GetSubZone(), "/"))
}

func activeRequests(h *adminv3.HostStatus) string {
	for _, s := range h.GetStats() {
		if s.GetName() == "rq_active" {
			return strconv.FormatUint(s.GetValue(), 10)
		}
	}
	return "-"
}

var endpointView = view{
	name: "endpoint", aliases: []string{"endpoints", "ep"}, short: "Addresses behind a proxy's upstreams", page: "/clusters?format=json",
	rows: func(page []byte, wide bool) (*table, error) {
		t := newTable("ENDPOINT", "STATUS", "OUTLIER CHECK", "CLUSTER")
		if wide {
			t.header = append(t.header, "WEIGHT", "LOCALITY", "ACTIVE REQUESTS")
		}
		var d adminv3.Clusters
		if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(page, &d); err != nil {
			return nil, err
		}
		for _, c := range d.ClusterStatuses {
			for _, h := range c.HostStatuses {
				outlier := "OK"
				if h.GetHealthStatus().GetFailedOutlierCheck() {
					outlier = "FAILED"
				}
				health := h.GetHealthStatus().GetEdsHealthStatus().String()
				if health == "UNKNOWN" {
					health = "HEALTHY"
				}
				row := []string{addressText(h.GetAddress()), health, outlier, c.Name}
				if wide {
					row = append(row, strconv.Itoa(int(h.GetWeight())), localityOf(h.GetLocality()), activeRequests(h))
				}
				t.add(row...)
			}
		}
		sort.Slice(t.rows, func(i, j int) bool { return t.rows[i][3]+t.rows[i][0] < t.rows[j][3]+t.rows[j][0] })
		return t, nil
	},
	messages: func(page []byte) ([]proto.Message, error) {
		var d adminv3.Clusters
		if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(page, &d); err != nil {
			return nil, err
		}
		return asMessages(d.ClusterStatuses), nil
	},
}

func addressText(a *corev3.Address) string {
	if s := a.GetSocketAddress(); s != nil {
		if strings.Contains(s.Address, ":") {
			return fmt.Sprintf("[%s]:%d", s.Address, s.GetPortValue())
		}
		return fmt.Sprintf("%s:%d", s.Address, s.GetPortValue())
	}
	if p := a.GetPipe(); p != nil {
		return "unix://" + p.Path
	}
	return "-"
}

var secretView = view{
	name: "secret", aliases: []string{"secrets", "s"}, short: "Certificates that a proxy uses", page: "/certs",
	rows: func(page []byte, wide bool) (*table, error) {
		t := newTable("RESOURCE NAME", "TYPE", "STATUS", "VALID CERT", "SERIAL NUMBER", "NOT AFTER", "NOT BEFORE")
		if wide {
			t.header = append(t.header, "SUBJECT")
		}
		var d adminv3.Certificates
		if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(page, &d); err != nil {
			return nil, err
		}
		row := func(kind string, list []*adminv3.CertificateDetails) {
			for _, c := range list {
				var names []string
				for _, n := range c.SubjectAltNames {
					names = append(names, n.GetUri()+n.GetDns())
				}
				from, until, now := c.GetValidFrom().AsTime(), c.GetExpirationTime().AsTime(), time.Now()
				cells := []string{orDash(c.Path), kind, "ACTIVE", strconv.FormatBool(now.After(from) && now.Before(until)), c.SerialNumber,
					until.Format(time.RFC3339), from.Format(time.RFC3339)}
				if wide {
					cells = append(cells, orDash(strings.Join(names, ",")))
				}
				t.add(cells...)
			}
		}
		for _, c := range d.Certificates {
			row("Cert Chain", c.CertChain)
			row("CA", c.CaCert)
		}
		return t, nil
	},
	messages: func(page []byte) ([]proto.Message, error) {
		var d adminv3.Certificates
		if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(page, &d); err != nil {
			return nil, err
		}
		return asMessages(d.Certificates), nil
	},
}
