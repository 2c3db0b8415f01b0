package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/api"
	promv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
	"github.com/spf13/cobra"
)

// metricsFlags say whose metrics are asked.
type metricsFlags struct{ address, tokenFile string }

// question is what heddle query asks.
type question struct {
	from              metricsFlags
	format, at        string
	back, step, limit time.Duration
}

func queryCommand(e *Env) *cobra.Command {
	var q question
	c := &cobra.Command{
		Use: "query PROMQL", Short: "Ask the mesh's metrics in PromQL",
		Long: `Asks for the value of an expression now, or with --range for its values over the last while. Without --address it is the store of metrics of the mesh on this machine;
any Prometheus answers as well.`,
		Example: `  heddle query 'sum by (destination_workload, response_code) (rate(istio_requests_total{reporter="destination"}[1m]))'
  heddle query 'up' -o csv
  heddle query 'sum(rate(istio_requests_total[1m]))' --range 10m --step 30s`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return errors.New("give one expression, in quotes, as in heddle query 'sum(rate(istio_requests_total[1m]))'")
			}
			return nil
		},
		PreRunE:           func(*cobra.Command, []string) error { return q.check() },
		ValidArgsFunction: q.from.complete(e),
		RunE:              func(cmd *cobra.Command, args []string) error { return q.ask(cmd.Context(), e, args[0]) },
	}
	f := c.Flags()
	f.StringVar(&q.from.address, "address", "", "`URL` of a Prometheus (default: the mesh's own store)")
	f.StringVar(&q.from.tokenFile, "token-file", "", "`file` with the bearer token that it wants")
	f.StringVar(&q.at, "time", "", "ask for this moment: RFC 3339, or seconds since 1970 (default: now)")
	f.DurationVar(&q.back, "range", 0, "ask for this `time` until that moment")
	f.DurationVar(&q.step, "step", 0, "with --range: the time between two values (default: a 60th of it)")
	f.DurationVar(&q.limit, "timeout", 30*time.Second, "give up after this time")
	f.StringVarP(&q.format, "output", "o", "table", "table, json, yaml or csv")
	_ = c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(queryFormats, cobra.ShellCompDirectiveNoFileComp))
	return c
}

var queryFormats = []string{"table", "json", "yaml", "csv"}

// check finds flags that mean nothing.
func (q *question) check() error {
	switch q.format {
	case "table", "json", "yaml", "csv":
	default:
		return fmt.Errorf("-o %s is not known; use %s", q.format, strings.Join(queryFormats, ", "))
	}
	switch {
	case q.back < 0:
		return fmt.Errorf("--range %s is before now already; leave the sign out", q.back)
	case q.step < 0:
		return fmt.Errorf("--step %s leads nowhere; use more than 0s", q.step)
	case q.step > 0 && q.back == 0:
		return errors.New("--step means nothing without --range")
	case q.limit <= 0:
		return fmt.Errorf("--timeout %s leaves no time to answer; use more than 0s", q.limit)
	}
	if q.step == 0 {
		q.step = max(time.Second, (q.back / 60).Round(time.Second))
	}
	_, err := q.moment()
	return err
}

// moment is what --time says.
func (q *question) moment() (time.Time, error) {
	if q.at == "" {
		return time.Now(), nil
	}
	if s, err := strconv.ParseFloat(q.at, 64); err == nil {
		return time.UnixMilli(int64(s * 1000)), nil
	}
	t, err := time.Parse(time.RFC3339, q.at)
	if err != nil {
		return t, fmt.Errorf("--time %q is not a moment; write it as 2026-01-31T12:00:00Z, or as seconds since 1970", q.at)
	}
	return t, nil
}

func (q *question) ask(ctx context.Context, e *Env, expression string) error {
	server, err := q.from.client(e)
	if err != nil {
		return err
	}
	end, err := q.moment()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, q.limit)
	defer cancel()
	var v model.Value
	var warnings promv1.Warnings
	var infos promv1.Infos
	if q.back > 0 {
		v, warnings, infos, err = server.QueryRange(ctx, expression, promv1.Range{Start: end.Add(-q.back), End: end, Step: q.step})
	} else {
		v, warnings, infos, err = server.Query(ctx, expression, end)
	}
	if err != nil {
		return q.explained(err)
	}
	for _, w := range append([]string(warnings), infos...) {
		_, _ = fmt.Fprintln(e.Err, "heddle:", w)
	}
	return printValue(e.out(), q.format, v)
}

// explained is one sentence of what went wrong.
func (q *question) explained(err error) error {
	var answer *promv1.Error
	if errors.As(err, &answer) && answer.Type == promv1.ErrBadData {
		return fmt.Errorf("the expression is not PromQL: %s", strings.TrimPrefix(answer.Msg, `invalid parameter "query": `))
	}
	if errors.As(err, &answer) && answer.Type == promv1.ErrClient {
		return fmt.Errorf("ask the metrics: %s: %.200s; --token-file gives a token", answer.Msg, strings.TrimSpace(answer.Detail))
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("ask the metrics: no answer after %s; ask for less, or wait longer with --timeout", q.limit)
	}
	return fmt.Errorf("ask the metrics: %w", err)
}

// client reaches a Prometheus.
func (f *metricsFlags) client(e *Env) (promv1.API, error) {
	address := withScheme(f.address)
	if f.address == "" {
		s, err := e.running()
		if err != nil {
			return nil, err
		}
		if address = s.Metrics; address == "" {
			return nil, errors.New("the mesh keeps no metrics; start it without --metrics=false, or give --address")
		}
	}
	c := api.Config{Address: address}
	if f.tokenFile != "" {
		token, err := os.ReadFile(f.tokenFile)
		if err != nil {
			return nil, fmt.Errorf("read the token: %w", err)
		}
		c.RoundTripper = bearer(strings.TrimSpace(string(token)))
	}
	client, err := api.NewClient(c)
	if err != nil {
		return nil, fmt.Errorf("--address %q is not a URL: %w", f.address, err)
	}
	return promv1.NewAPI(client), nil
}

// bearer shows a token with each request.
type bearer string

// RoundTrip satisfies http.RoundTripper.
func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+string(b))
	return http.DefaultTransport.RoundTrip(r)
}

// complete completes the names of metrics.
func (f *metricsFlags) complete(e *Env) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		server, err := f.client(e)
		if err != nil || len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		values, _, _, err := server.LabelValues(ctx, model.MetricNameLabel, nil, time.Time{}, time.Time{})
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var names []string
		for _, v := range values {
			if strings.HasPrefix(string(v), word) {
				names = append(names, string(v))
			}
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}
