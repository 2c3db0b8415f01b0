package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/admission"
	"github.com/heddle-mesh/heddle/control/config/settings"
	"github.com/heddle-mesh/heddle/control/translate/world"
	"github.com/heddle-mesh/heddle/mesh"
)

// validating are the flags of heddle validate.
type validating struct {
	files  []string
	output string
}

func validateCommand(e *Env) *cobra.Command {
	var f validating
	c := &cobra.Command{
		Use:   "validate -f FILE|DIR|-",
		Short: "Look whether objects would be accepted, without a cluster",
		Long: `Judges objects as the admission webhook of a running mesh does: by the schemas of their kinds, by the rules of each kind, and by what Heddle can enforce. Errors
would be refused; warnings are accepted, and have no effect. Whether what an object refers to exists is for heddle analyze. The exit code is 1 if there are errors.`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error { return f.run(e) },
	}
	s := c.Flags()
	s.StringArrayVarP(&f.files, "filename", "f", nil, "file, folder or - for standard input; may be repeated")
	s.StringVarP(&f.output, "output", "o", "text", "text or json")
	return c
}

func (f *validating) run(e *Env) error {
	if f.output != "text" && f.output != "json" {
		return fmt.Errorf("--output %q: want text or json", f.output)
	}
	if len(f.files) == 0 {
		return errors.New("nothing to validate; give -f FILE, a folder, or - for standard input")
	}
	m, err := e.readManifests(f.files)
	if err != nil {
		return err
	}
	report := validation{Findings: []finding{}, Objects: len(m.objects)}
	results, rest := world.Translate(settings.Default(), m.objects, m.problems)
	for _, p := range rest {
		report.add(m, "error", api.Object{}, p)
	}
	for _, r := range results {
		v := admission.Judge(r.Object, append(r.Problems, world.Core(r.Object, settings.Default())...))
		for _, p := range v.Errors {
			report.add(m, "error", r.Object, p)
		}
		for _, p := range v.Warnings {
			if p.Code != mesh.CodeNotFound && p.Code != mesh.CodeConflict {
				report.add(m, "warning", r.Object, p)
			}
		}
	}
	if err := report.write(e.out(), f.output); err != nil {
		return err
	}
	if report.Errors > 0 {
		return ExitCode(1)
	}
	return nil
}

// validation is the report of heddle validate.
type validation struct {
	Objects  int       `json:"objects"`
	Errors   int       `json:"errors"`
	Warnings int       `json:"warnings"`
	Findings []finding `json:"findings"`
}

// finding is one thing that is wrong, and where.
type finding struct {
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty"`
	Column  int    `json:"column,omitempty"`
	Level   string `json:"level"`
	Object  string `json:"object,omitempty"`
	Field   string `json:"field,omitempty"`
	Code    string `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

func (r *validation) add(m *manifests, level string, o api.Object, p mesh.Problem) {
	x := finding{Level: level, Field: p.Field, Code: string(p.Code), Message: p.Message, Hint: p.Hint, File: o.Meta.File}
	if p.Object != (mesh.Ref{}) {
		x.Object = p.Object.String()
	}
	at := m.place(o, p.Field)
	x.Line, x.Column = at.Line, at.Column
	if level == "error" {
		r.Errors++
	} else {
		r.Warnings++
	}
	r.Findings = append(r.Findings, x)
}

func (r *validation) write(out io.Writer, form string) error {
	if form == "json" {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		return enc.Encode(r)
	}
	for _, x := range r.Findings {
		if _, err := fmt.Fprintln(out, x.text()); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(out, "%s, %s, %s\n", count(r.Objects, "object"), count(r.Errors, "error"), count(r.Warnings, "warning"))
	return err
}

// text is FILE:LINE:COLUMN: LEVEL: OBJECT FIELD: MESSAGE; HINT.
func (x finding) text() string {
	s := x.Level + ": "
	if x.File != "" {
		s = fmt.Sprintf("%s:%d:%d: ", x.File, x.Line, x.Column) + s
	}
	if subject := strings.TrimSpace(x.Object + " " + x.Field); subject != "" {
		s += subject + ": "
	}
	s += x.Message
	if x.Hint != "" {
		s += "; " + x.Hint
	}
	return s
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
