package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/analyze"
	"github.com/heddle-mesh/heddle/control/config/settings"
	"github.com/heddle-mesh/heddle/mesh"
)

// issuesFound is the exit code of istioctl analyze when there is something to tell.
const issuesFound = 79

// analyzing are the flags of heddle analyze.
type analyzing struct {
	cluster
	files               []string
	useCluster          bool
	namespace           string
	output              string
	threshold, suppress string
	meshConfig          string
	timeout             time.Duration
}

func analyzeCommand(e *Env) *cobra.Command {
	var f analyzing
	c := &cobra.Command{
		Use:   "analyze -f FILE|DIR|-",
		Short: "Look for what is questionable about objects together, with Istio's codes",
		Long: `Looks at all objects as one mesh: those of files, and with --use-kube, --kubeconfig or --context those of a cluster, where an object of a file stands for the one of its
name. An object with the annotation galley.istio.io/analyze-suppress: "IST0118,IST0130" is not told of these codes. The exit code is 79 when something is found at or above
--failure-threshold.`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			f.files = append(f.files, args...)
			f.useCluster = f.useCluster || f.kubeconfig != "" || f.context != ""
			return f.run(cmd.Context(), e)
		},
	}
	s := c.Flags()
	f.flags(s)
	s.StringArrayVarP(&f.files, "filename", "f", nil, "file, folder or - for standard input; may be repeated")
	s.BoolVar(&f.useCluster, "use-kube", false, "analyze the objects of a cluster too")
	s.StringVarP(&f.namespace, "namespace", "n", "", "tell of this namespace only")
	s.StringVarP(&f.output, "output", "o", "log", "log or json")
	s.StringVar(&f.threshold, "failure-threshold", "Error", "Error, Warning or Info: the exit code tells of what is as bad as this")
	s.StringVar(&f.suppress, "output-threshold", "Info", "Error, Warning or Info: print what is as bad as this")
	s.StringVar(&f.meshConfig, "mesh-config", "", "file with the MeshConfig of the mesh (default: its defaults)")
	s.DurationVar(&f.timeout, "timeout", 30*time.Second, "give up on the cluster after this time")
	return c
}

func (f *analyzing) run(ctx context.Context, e *Env) error {
	levels := []string{string(analyze.Error), string(analyze.Warning), string(analyze.Info)}
	for _, l := range []string{f.threshold, f.suppress} {
		if !slices.Contains(levels, l) {
			return fmt.Errorf("threshold %q: want Error, Warning or Info", l)
		}
	}
	if f.output != "log" && f.output != "json" {
		return fmt.Errorf("--output %q: want log or json", f.output)
	}
	if len(f.files) == 0 && !f.useCluster {
		return errors.New("nothing to analyze; give -f FILE, a folder or -, or --use-kube")
	}
	world, err := f.settings()
	if err != nil {
		return err
	}
	m, err := e.readManifests(f.files)
	if err != nil {
		return err
	}
	workloads := m.workloads()
	if f.useCluster {
		ctx, cancel := context.WithTimeout(ctx, f.timeout)
		defer cancel()
		if err := f.addCluster(ctx, m); err != nil {
			return err
		}
	}
	found := analyze.Run(analyze.Input{Settings: world, Objects: m.objects, Problems: m.problems, Workloads: workloads, Now: time.Now()})
	return f.report(e.out(), m, found)
}

// settings are those of the mesh that is analyzed.
func (f *analyzing) settings() (*mesh.Settings, error) {
	if f.meshConfig == "" {
		return settings.Default(), nil
	}
	s, _, err := settings.Read(f.meshConfig)
	return s, err
}

func (f *analyzing) report(out io.Writer, m *manifests, found []analyze.Finding) error {
	byRef := map[mesh.Ref]api.Object{}
	for _, o := range m.objects {
		byRef[o.Ref()] = o
	}
	list, failed := []analysisLine{}, false
	for _, x := range found {
		if f.namespace != "" && x.Object.Namespace != mesh.Namespace(f.namespace) || !x.Level.Worse(analyze.Level(f.suppress)) {
			continue
		}
		failed = failed || x.Level.Worse(analyze.Level(f.threshold))
		o := byRef[x.Object]
		at := m.place(o, x.Field)
		line := analysisLine{Code: x.Code, Name: x.Name, Level: string(x.Level), File: o.Meta.File, Line: at.Line, Column: at.Column, Field: x.Field, Message: x.Text, Hint: x.Hint}
		if x.Object != (mesh.Ref{}) {
			line.Origin = x.Object.String()
		}
		list = append(list, line)
	}
	if err := writeAnalysis(out, f.output, list); err != nil {
		return err
	}
	if failed {
		return ExitCode(issuesFound)
	}
	return nil
}

// analysisLine is one finding of heddle analyze.
type analysisLine struct {
	Code    string `json:"code"`
	Name    string `json:"name"`
	Level   string `json:"level"`
	Origin  string `json:"origin,omitempty"` // none where a text is no object
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty"`
	Column  int    `json:"column,omitempty"`
	Field   string `json:"field,omitempty"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

func writeAnalysis(out io.Writer, form string, list []analysisLine) error {
	if form == "json" {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		return enc.Encode(list)
	}
	for _, x := range list {
		origin, field := "", ""
		if x.Origin != "" {
			origin = "(" + x.Origin + ") "
		}
		if x.File != "" {
			origin = fmt.Sprintf("(%s %s:%d:%d) ", x.Origin, x.File, x.Line, x.Column)
		}
		if x.Field != "" {
			field = x.Field + ": "
		}
		if _, err := fmt.Fprintf(out, "%s [%s] %s%s%s; %s\n", x.Level, x.Code, origin, field, x.Message, x.Hint); err != nil {
			return err
		}
	}
	if len(list) == 0 {
		_, err := fmt.Fprintln(out, "nothing to tell: no issue was found")
		return err
	}
	return nil
}
