package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"sort"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// syncStatus is an element of /debug/syncz, in the shape that istioctl reads.
type syncStatus struct {
	ClusterID     string `json:"cluster_id,omitempty"`
	ProxyID       string `json:"proxy,omitempty"`
	ProxyType     string `json:"proxy_type,omitempty"`
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

// debugFlags say where heddled is when it is not the one of the running mesh.
type debugFlags struct{ address, tokenFile string }

func (d *debugFlags) bind(c *cobra.Command) {
	c.Flags().StringVar(&d.address, "debug-address", "", "URL of heddled's HTTP port (default: that of the running mesh)")
	c.Flags().StringVar(&d.tokenFile, "debug-token-file", "", "file with heddled's debug token")
}

// get reads a debug page of heddled.
func (d *debugFlags) get(e *Env, page string) ([]byte, error) {
	address, tokenFile := d.address, d.tokenFile
	if address == "" {
		s, err := e.running()
		if err != nil {
			return nil, err
		}
		address, tokenFile = s.Debug, s.DebugToken
	}
	req, err := http.NewRequest(http.MethodGet, strings.TrimSuffix(withScheme(address), "/")+page, nil)
	if err != nil {
		return nil, fmt.Errorf("ask heddled: %w", err)
	}
	if tokenFile != "" {
		token, err := os.ReadFile(tokenFile)
		if err != nil {
			return nil, fmt.Errorf("read the debug token: %w", err)
		}
		req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	}
	return fetch(req, "heddled")
}

func fetch(req *http.Request, who string) ([]byte, error) {
	client := http.Client{Timeout: 15 * time.Second}
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", who, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", who, err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %s to %s: %.300s", who, resp.Status, req.URL.Path, strings.TrimSpace(string(b)))
	}
	return b, nil
}

func proxyStatus(e *Env) *cobra.Command {
	var format string
	var from debugFlags
	c := &cobra.Command{
		Use: "proxy-status [WORKLOAD[.NAMESPACE]]", Aliases: []string{"ps"}, Short: "Whether each proxy has the latest configuration",
		Args: oneWorkload, ValidArgsFunction: e.completeWorkloads,
		RunE: func(_ *cobra.Command, args []string) error {
			b, err := from.get(e, "/debug/syncz")
			if err != nil {
				return err
			}
			var list []syncStatus
			if err := json.Unmarshal(b, &list); err != nil {
				return fmt.Errorf("read heddled's answer: %w", err)
			}
			if len(args) == 1 {
				list = named(list, args[0])
				if len(list) == 0 {
					return fmt.Errorf("no proxy of %s is connected; heddle proxy-status lists those that are", args[0])
				}
			}
			sort.Slice(list, func(i, j int) bool { return list[i].ProxyID < list[j].ProxyID })
			if ok, err := structured(e.out(), format, list); ok {
				return err
			}
			t := newTable("NAME", "CLUSTER", "CDS", "LDS", "EDS", "RDS", "ECDS", "ISTIOD", "VERSION")
			for _, s := range list {
				t.add(s.ProxyID, s.ClusterID, synced(s.ClusterSent, s.ClusterAcked), synced(s.ListenerSent, s.ListenerAcked),
					synced(s.EndpointSent, s.EndpointAcked), synced(s.RouteSent, s.RouteAcked), extension(s), "heddled", orDash(s.IstioVersion))
			}
			return t.print(e.out())
		},
	}
	outputFlag(c, &format)
	from.bind(c)
	return c
}

func named(list []syncStatus, name string) (found []syncStatus) {
	for _, s := range list {
		if s.ProxyID == name || strings.HasPrefix(s.ProxyID, name+".") {
			found = append(found, s)
		}
	}
	return found
}

// extension is istioctl's word for extension configuration, which most proxies never ask for.
func extension(s syncStatus) string {
	if s.ExtConfSent == "" {
		return "IGNORED"
	}
	return synced(s.ExtConfSent, s.ExtConfAcked)
}

// synced is istioctl's word for the difference between what was sent and what was acknowledged.
func synced(sent, acked string) string {
	switch {
	case sent == "":
		return "NOT SENT"
	case sent == acked:
		return "SYNCED"
	default:
		return "STALE"
	}
}
