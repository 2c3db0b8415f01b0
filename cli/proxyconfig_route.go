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
	name: "route", aliases: []string{"routes", "r"}, short: "How a proxy routes requests", page: "/config_dump",
	rows: func(page []byte, wide bool) (*table, error) {
		t := newTable("NAME", "VHOST NAME", "DOMAINS", "MATCH", "VIRTUAL SERVICE")
		names := domains
		if wide {
			t.header = append(t.header, "DESTINATION")
			names = func(all []string) string { return strings.Join(all, ", ") }
		}
		list, err := routes(page)
		sort.SliceStable(list, func(i, j int) bool { return list[i].Name < list[j].Name })
		for _, r := range list {
			for _, h := range r.VirtualHosts {
				rules := h.Routes
				if len(rules) == 0 {
					rules = []*routev3.Route{nil}
				}
				for _, rule := range rules {
					row := []string{r.Name, h.Name, names(h.Domains), routeMatch(rule.GetMatch()), serviceOf(rule.GetMetadata())}
					if rule == nil {
						row[4] = "404"
					}
					if wide {
						row = append(row, destinationOf(rule))
					}
					t.add(row...)
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

// destinationOf says where a route leads: clusters with their weights, or what is answered.
func destinationOf(r *routev3.Route) string {
	switch a := r.GetAction().(type) {
	case *routev3.Route_Redirect:
		return "redirect"
	case *routev3.Route_DirectResponse:
		return strconv.Itoa(int(a.DirectResponse.GetStatus()))
	}
	action := r.GetRoute()
	if w := action.GetWeightedClusters(); w != nil {
		var parts []string
		for _, c := range w.GetClusters() {
			parts = append(parts, c.GetName()+" weight "+strconv.Itoa(int(c.GetWeight().GetValue())))
		}
		return strings.Join(parts, ", ")
	}
	return orDash(action.GetCluster())
}
