package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"
)

func outputFlag(c *cobra.Command, format *string) {
	c.Flags().StringVarP(format, "output", "o", "table", "table, wide, json or yaml")
	_ = c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "wide", "json", "yaml"}, cobra.ShellCompDirectiveNoFileComp))
	before := c.PreRunE
	c.PreRunE = func(cmd *cobra.Command, args []string) error {
		switch *format {
		case "table", "wide", "json", "yaml", "short":
		default:
			return fmt.Errorf("-o %s is not known; use table, wide, json or yaml", *format)
		}
		if before != nil {
			return before(cmd, args)
		}
		return nil
	}
}

// structured prints a value as JSON or YAML; false when another format is wanted.
func structured(w io.Writer, format string, v any) (bool, error) {
	if format != "json" && format != "yaml" {
		return false, nil
	}
	b, err := json.MarshalIndent(v, "", "  ")
	if err == nil && format == "yaml" {
		b, err = yaml.JSONToYAML(b)
	}
	if err != nil {
		return true, fmt.Errorf("print as %s: %w", format, err)
	}
	_, err = fmt.Fprintf(w, "%s\n", strings.TrimRight(string(b), "\n"))
	return true, err
}

// table prints columns as kubectl and istioctl do: padded, three spaces apart.
type table struct {
	header []string
	rows   [][]string
}

func newTable(header ...string) *table { return &table{header: header} }

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

func (t *table) print(w io.Writer) error {
	widths := make([]int, len(t.header))
	all := append([][]string{t.header}, t.rows...)
	for _, r := range all {
		for i, c := range r {
			widths[i] = max(widths[i], len(c))
		}
	}
	var b strings.Builder
	for _, r := range all {
		for i, c := range r {
			if i == len(r)-1 {
				b.WriteString(c)
				continue
			}
			fmt.Fprintf(&b, "%-*s", widths[i]+3, c)
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func copyFile(w io.Writer, path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	_, err = w.Write(b)
	return err
}
