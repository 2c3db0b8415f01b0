package cli

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/heddle-mesh/heddle/platform/laptop"
)

// view shows one part of a proxy's configuration: as rows, or as the messages themselves.
type view struct {
	name, short string
	aliases     []string // istioctl's
	page        string
	rows        func(page []byte, wide bool) (*table, error)
	messages    func(page []byte) ([]proto.Message, error)
}

func proxyConfig(e *Env) *cobra.Command {
	c := group(&cobra.Command{Use: "proxy-config", Aliases: []string{"pc"}, Short: "What a proxy really holds"})
	for _, v := range []view{listenerView, routeView, clusterView, endpointView, secretView} {
		c.AddCommand(v.command(e))
	}
	return c
}

func (v view) command(e *Env) *cobra.Command {
	var format, admin string
	c := &cobra.Command{
		Use: v.name + " WORKLOAD[.NAMESPACE]", Aliases: v.aliases, Short: v.short, Args: oneWorkload,
		ValidArgsFunction: e.completeWorkloads,
		RunE: func(_ *cobra.Command, args []string) error {
			base := admin
			if base == "" {
				if len(args) == 0 {
					return fmt.Errorf("name a workload, such as web-v1.shop, or give --admin URL")
				}
				var err error
				if base, err = e.adminOf(args[0]); err != nil {
					return err
				}
			}
			req, err := http.NewRequest(http.MethodGet, strings.TrimSuffix(withScheme(base), "/")+v.page, nil)
			if err != nil {
				return fmt.Errorf("ask the proxy: %w", err)
			}
			b, err := fetch(req, "the proxy")
			if err != nil {
				return err
			}
			if format == "json" || format == "yaml" {
				return v.printMessages(e, b, format)
			}
			t, err := v.rows(b, format == "wide")
			if err != nil {
				return fmt.Errorf("read the proxy's answer: %w", err)
			}
			return t.print(e.out())
		},
	}
	c.Flags().StringVar(&admin, "admin", "", "URL of a proxy's admin port, instead of a workload of the running mesh")
	outputFlag(c, &format)
	return c
}

func (v view) printMessages(e *Env, page []byte, format string) error {
	list, err := v.messages(page)
	if err != nil {
		return fmt.Errorf("read the proxy's answer: %w", err)
	}
	var values []any
	for _, m := range list {
		b, err := protojson.Marshal(m)
		if err != nil {
			return fmt.Errorf("print as %s: %w", format, err)
		}
		var value any
		if err := json.Unmarshal(b, &value); err != nil {
			return fmt.Errorf("print as %s: %w", format, err)
		}
		values = append(values, value)
	}
	_, err = structured(e.out(), format, values)
	return err
}

// adminOf finds the admin URL of a workload by NAME or NAME.NAMESPACE.
func (e *Env) adminOf(name string) (string, error) {
	s, err := e.running()
	if err != nil {
		return "", err
	}
	w, err := pick(s, name)
	if err != nil {
		return "", err
	}
	return w.ProxyAdmin, nil
}

// pick finds a workload by NAME or NAME.NAMESPACE.
func pick(s *laptop.Status, name string) (*laptop.Workload, error) {
	var found []*laptop.Workload
	var like []string
	service, namespace, _ := strings.Cut(name, ".")
	for _, w := range s.Workloads {
		switch full := w.Name + "." + w.Namespace; {
		case w.Name == name || full == name:
			found = append(found, &w)
		case strings.HasPrefix(w.Name, service+"-") && strings.HasPrefix(w.Namespace, namespace):
			like = append(like, full)
		}
	}
	switch len(found) {
	case 0:
		hint := ""
		if len(like) > 0 {
			hint = " (perhaps " + strings.Join(like, " or ") + ")"
		}
		return nil, fmt.Errorf("there is no workload %s%s; heddle status lists them", name, hint)
	case 1:
		return found[0], nil
	}
	return nil, fmt.Errorf("there are %d workloads named %s; add the namespace: %s.NAMESPACE", len(found), name, name)
}

// dump reads Envoy's /config_dump.
func dump(page []byte) (*adminv3.ConfigDump, error) {
	var d adminv3.ConfigDump
	return &d, protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(page, &d)
}

// each calls f with every section of a dump that is a T.
func each[T proto.Message](page []byte, f func(T) error) error {
	d, err := dump(page)
	if err != nil {
		return err
	}
	for _, any := range d.Configs {
		m, err := any.UnmarshalNew()
		if err != nil {
			return err
		}
		if t, ok := m.(T); ok {
			if err := f(t); err != nil {
				return err
			}
		}
	}
	return nil
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
