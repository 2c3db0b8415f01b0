package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	events "github.com/heddle-mesh/heddle/telemetry/tap"
)

func tap(e *Env) *cobra.Command {
	var admin, format string
	query := map[string]*string{}
	c := &cobra.Command{
		Use: "tap WORKLOAD[.NAMESPACE]", Short: "Watch the requests of a workload as they come",
		Long: `Shows each request when it has finished: who asked, what was answered, by which route and endpoint, and how long it took. With -o json each is a
line of JSON with all headers; credentials (Authorization, cookies, API keys) are never shown. Ctrl-C ends it.`,
		Example: `  heddle tap web-v1.shop
  heddle tap web-v1.shop --status 5xx --direction outbound
  heddle tap web-v1.shop --path /cart --limit 1 -o json`,
		Args: oneWorkload, ValidArgsFunction: e.completeWorkloads,
		RunE: func(cmd *cobra.Command, args []string) error {
			if format != "text" && format != "json" {
				return fmt.Errorf("-o %s is not known; use text or json", format)
			}
			base := admin
			if base == "" {
				if len(args) == 0 {
					return errors.New("name a workload, such as web-v1.shop, or give --admin URL")
				}
				var err error
				if base, err = e.adminOf(args[0]); err != nil {
					return err
				}
			}
			q := url.Values{}
			for name, value := range query {
				if *value != "" {
					q.Set(name, *value)
				}
			}
			return e.tap(cmd.Context(), strings.TrimSuffix(withScheme(base), "/")+"/tap?"+q.Encode(), format == "json")
		},
	}
	f := c.Flags()
	for name, usage := range map[string]string{
		"method": "only this method", "path": "only paths that begin so", "authority": "only this host, as the request names it", "route": "only this route", "cluster": "only this upstream cluster",
		"direction": "inbound, outbound or unspecified", "header": "only with this request header: NAME or NAME:VALUE", "status": "only this status, such as 404 or 5xx", "slower": "only what took as long at least, such as 200ms",
		"sample": "a share of them, above 0 and up to 1", "limit": "end after so many",
	} {
		query[name] = f.String(name, "", usage)
	}
	f.StringVar(&admin, "admin", "", "URL of a proxy's admin port, instead of a workload of the running mesh")
	f.StringVarP(&format, "output", "o", "text", "text or json")
	return c
}

// tap prints what the page tells until it ends, or the user ends it.
func (e *Env) tap(ctx context.Context, page string, raw bool) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, page, nil)
	if err != nil {
		return fmt.Errorf("ask the proxy: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("ask the proxy: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(io.LimitReader(resp.Body, 4096)) // the status tells enough otherwise
		return fmt.Errorf("the proxy says %s: %s", resp.Status, strings.TrimSpace(string(b)))
	}
	lines := bufio.NewReader(resp.Body)
	for {
		line, err := lines.ReadString('\n')
		if errors.Is(err, io.EOF) || ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("the proxy, or the mesh, has ended: %w", err)
		}
		if !raw {
			if line, err = tapLine(line); err != nil {
				return err
			}
		}
		if _, err := io.WriteString(e.out(), line); err != nil {
			return err
		}
	}
}

// tapLine is one request for people.
func tapLine(line string) (string, error) {
	var t events.Event
	if err := json.Unmarshal([]byte(line), &t); err != nil {
		return "", fmt.Errorf("read the proxy's answer: %w", err)
	}
	if t.Dropped > 0 {
		return fmt.Sprintf("(%d more, which came faster than they could be shown)\n", t.Dropped), nil
	}
	arrow := map[string]string{"inbound": "<-", "outbound": "->"}[t.Direction]
	if arrow == "" {
		arrow = "--"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %3d %s %s%s %.1fms", t.Start.Local().Format("15:04:05.000"), arrow, t.Status, t.Method, t.Authority, t.Path, t.Duration)
	from := t.Downstream
	if t.Peer != "" {
		from = t.Peer
	}
	for _, x := range []struct{ name, value string }{{"from", from}, {"route", t.Route}, {"to", t.Endpoint}, {"cluster", t.Cluster}, {"flags", t.Flags}} {
		if x.value != "" {
			fmt.Fprintf(&b, " %s=%s", x.name, x.value)
		}
	}
	if t.Attempts > 1 {
		fmt.Fprintf(&b, " attempts=%d", t.Attempts)
	}
	if t.Flags != "" && t.Details != "" {
		fmt.Fprintf(&b, " (%s)", t.Details)
	}
	return escaped(b.String()) + "\n", nil
}

// escaped keeps what clients sent from writing to the terminal.
func escaped(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, s)
}
