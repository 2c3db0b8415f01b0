package cli

import (
	"sort"
	"strconv"
	"strings"

	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"
)

var routeView = view{
	name: "route", alias: "routes", short: "How a proxy routes requests", page: "/config_dump",
	rows: func(page []byte, _ bool) (*table, error) {
		t := newTable("NAME", "VHOST NAME", "DOMAINS", "MATCH", "VIRTUAL SERVICE")
		list, err := routes(page)
		sort.SliceStable(list, func(i, j int) bool { return list[i].Name < list[j].Name })
		for _, r := range list {
			for _, h := range r.VirtualHosts {
				for _, rule := range h.Routes {
					t.add(r.Name, h.Name, domains(h.Domains), routeMatch(rule.GetMatch()), serviceOf(rule.GetMetadata()))
				}
				if len(h.Routes) == 0 {
					t.add(r.Name, h.Name, domains(h.Domains), "-", "404")
				}
			}
		}
		return t, err
	},
	messages: func(page []byte) ([]proto.Message, error) {
		list, err := routes(page)
		return asMessages(list), err
	},
}

func routes(page []byte) (list []*routev3.RouteConfiguration, err error) {
	err = each(page, func(d *adminv3.RoutesConfigDump) (err error) {
		for _, r := range d.StaticRouteConfigs {
			if list, err = appendAs(list, r.RouteConfig); err != nil {
				return err
			}
		}
		for _, r := range d.DynamicRouteConfigs {
			if list, err = appendAs(list, r.RouteConfig); err != nil {
				return err
			}
		}
		return nil
	})
	return list, err
}

// domains shows the shortest names first and says how many more there are.
func domains(all []string) string {
	if len(all) == 0 {
		return "*"
	}
	sorted := append([]string(nil), all...)
	sort.SliceStable(sorted, func(i, j int) bool { return len(sorted[i]) < len(sorted[j]) })
	if len(sorted) > 2 {
		return sorted[0] + ", " + sorted[1] + " + " + plural(len(sorted)-2)
	}
	return strings.Join(sorted, ", ")
}

func plural(n int) string { return strconv.Itoa(n) + " more..." }

func routeMatch(m *routev3.RouteMatch) string {
	var conditions []string
	switch p := m.GetPathSpecifier().(type) {
	case *routev3.RouteMatch_Prefix:
		conditions = append(conditions, p.Prefix+"*")
	case *routev3.RouteMatch_Path:
		conditions = append(conditions, p.Path)
	case *routev3.RouteMatch_SafeRegex:
		conditions = append(conditions, "regex "+p.SafeRegex.GetRegex())
	case *routev3.RouteMatch_PathSeparatedPrefix:
		conditions = append(conditions, "PathPrefix:"+p.PathSeparatedPrefix)
	}
	for _, h := range m.GetHeaders() {
		conditions = append(conditions, "header "+h.Name)
	}
	for _, q := range m.GetQueryParameters() {
		conditions = append(conditions, "query "+q.Name)
	}
	return orDash(strings.Join(conditions, " "))
}

// serviceOf is the VirtualService or HTTPRoute behind a route (metadata istio.config).
func serviceOf(m *corev3.Metadata) string {
	config := m.GetFilterMetadata()["istio"].GetFields()["config"].GetStringValue()
	parts := strings.Split(config, "/")
	if len(parts) < 3 {
		return ""
	}
	return parts[len(parts)-1] + "." + parts[len(parts)-3]
}
