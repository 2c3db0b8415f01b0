package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/heddle-mesh/heddle/platform/check"
)

// checking are the flags of heddle check.
type checking struct {
	cluster
	options check.Options
	output  string
	timeout time.Duration
}

func checkCommand(e *Env) *cobra.Command {
	var f checking
	c := &cobra.Command{
		Use:   "check",
		Short: "Look whether a cluster can take Heddle, and whether an installed one is well",
		Long: `Looks at one thing after the other: √ it is as it should be, ‼ there is something to know, × it is broken; then one hint says what to do. With --pre it looks
whether heddle install would succeed. The exit code is 1 if anything is broken.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd.Context(), e) },
	}
	s := c.Flags()
	f.flags(s)
	s.BoolVar(&f.options.Before, "pre", false, "look at the cluster before an installation")
	s.StringVarP(&f.options.Namespace, "namespace", "n", "istio-system", "namespace of the control plane")
	s.StringVar(&f.options.Revision, "revision", "default", "which control plane")
	s.StringVarP(&f.output, "output", "o", "", "short (only what is not as it should be) or json")
	s.DurationVar(&f.timeout, "timeout", 30*time.Second, "give up after this time")
	return c
}

func (f *checking) run(ctx context.Context, e *Env) error {
	report := reports(e.out())[f.output]
	if report == nil {
		return fmt.Errorf("--output %q: want short or json", f.output)
	}
	cfg, err := f.open()
	if err != nil {
		return err
	}
	cfg.Timeout = f.timeout
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	var c check.Cluster
	if c.Typed, err = kubernetes.NewForConfig(cfg); err != nil {
		return fmt.Errorf("use the cluster: %w", err)
	}
	if c.Dynamic, err = dynamic.NewForConfig(cfg); err != nil {
		return fmt.Errorf("use the cluster: %w", err)
	}
	f.options.Version = e.Version
	broken := false
	check.Run(ctx, c, f.options, func(found check.Finding) {
		broken = broken || found.Result == check.Failure
		report.tell(found)
	})
	if err := report.end(!broken); err != nil {
		return err
	}
	if broken {
		return ExitCode(1)
	}
	return nil
}

// reporter writes findings.
type reporter interface {
	tell(check.Finding)
	end(success bool) error
}

// reports are the forms of --output.
func reports(out io.Writer) map[string]reporter {
	return map[string]reporter{"": &lines{out: out}, "short": &lines{out: out, short: true}, "json": &document{out: out}}
}

// lines is the report for people.
type lines struct {
	out      io.Writer
	short    bool
	category string
}

var signs = map[check.Result]string{check.Success: "√", check.Warning: "‼", check.Failure: "×"}

func (l *lines) tell(f check.Finding) {
	if l.short && f.Result == check.Success {
		return
	}
	if f.Category != l.category {
		if l.category != "" {
			_, _ = fmt.Fprintln(l.out)
		}
		_, _ = fmt.Fprintf(l.out, "%s\n%s\n", f.Category, strings.Repeat("-", len(f.Category)))
		l.category = f.Category
	}
	_, _ = fmt.Fprintln(l.out, signs[f.Result], f.Description)
	if f.Result != check.Success {
		_, _ = fmt.Fprintf(l.out, "    %s\n    hint: %s\n", f.Error, f.Hint)
	}
}

func (l *lines) end(success bool) error {
	if l.short {
		return nil
	}
	result := check.Failure
	if success {
		result = check.Success
	}
	_, err := fmt.Fprintf(l.out, "\nStatus check results are %s\n", signs[result])
	return err
}

// document is the report for programs, in the form of `linkerd check -o json`.
type document struct {
	out        io.Writer
	categories []category
}

type category struct {
	Name   string   `json:"categoryName"`
	Checks []result `json:"checks"`
}

type result struct {
	Description string       `json:"description"`
	Hint        string       `json:"hint,omitempty"`
	Error       string       `json:"error,omitempty"`
	Result      check.Result `json:"result"`
}

func (d *document) tell(f check.Finding) {
	if n := len(d.categories); n == 0 || d.categories[n-1].Name != f.Category {
		d.categories = append(d.categories, category{Name: f.Category})
	}
	last := &d.categories[len(d.categories)-1]
	last.Checks = append(last.Checks, result{f.Description, f.Hint, f.Error, f.Result})
}

func (d *document) end(success bool) error {
	enc := json.NewEncoder(d.out)
	enc.SetIndent("", "  ")
	return enc.Encode(map[string]any{"success": success, "categories": d.categories})
}
