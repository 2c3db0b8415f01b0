package settings

import (
	"encoding/json"
	"fmt"
	"strings"

	"google.golang.org/protobuf/types/known/structpb"
	meshconfig "istio.io/api/mesh/v1alpha1"

	"github.com/heddle-mesh/heddle/mesh"
	"github.com/heddle-mesh/heddle/telemetry"
)

// providers reads what proxies report to, and what counts where no Telemetry says it.
func (r *reader) providers(s *mesh.Settings, in *meshconfig.MeshConfig) {
	seen := map[string]bool{}
	for i, x := range in.ExtensionProviders {
		at := fmt.Sprintf("extensionProviders[%d]", i)
		if name := strings.ToLower(x.GetName()); name == "" {
			r.wrong(at+".name", "it is missing")
		} else if seen[name] {
			r.wrong(at+".name", "there are two providers %q", x.GetName())
		} else {
			seen[name] = true
		}
		p := mesh.Provider{Name: x.GetName(), Metrics: x.GetPrometheus() != nil}
		if f := x.GetEnvoyFileAccessLog(); f != nil {
			p.File = &mesh.FileLog{Path: f.GetPath(), OmitEmpty: f.GetOmitEmptyValues()}
			l := f.GetLogFormat()
			_, object := l.GetLogFormat().(*meshconfig.MeshConfig_ExtensionProvider_EnvoyFileAccessLogProvider_LogFormat_Labels)
			p.File.Format = r.logFormat(l.GetText(), l.GetLabels(), at+".envoyFileAccessLog.logFormat")
			p.File.Format.JSON = object
		}
		if t := x.GetOpentelemetry(); t != nil {
			p.Traces = r.otlp(t, at+".opentelemetry")
		}
		if z := x.GetZipkin(); z != nil {
			p.Traces = r.zipkin(z, at+".zipkin")
		}
		s.Providers = append(s.Providers, p)
	}
	s.EnableTracing = in.GetEnableTracing()
	d := in.GetDefaultProviders()
	s.Defaults = mesh.DefaultProviders{Tracing: d.GetTracing(), Logging: d.GetAccessLogging(), Metrics: d.GetMetrics()}
}

// meshLog reads MeshConfig's own access log.
func (r *reader) meshLog(s *mesh.Settings, in *meshconfig.MeshConfig) {
	s.AccessLogFile, s.AccessLogJSON = in.AccessLogFile, in.AccessLogEncoding == meshconfig.MeshConfig_JSON
	if in.AccessLogFormat == "" {
		return
	}
	if !s.AccessLogJSON {
		s.AccessLogFormat = r.logFormat(in.AccessLogFormat, nil, "accessLogFormat")
		return
	}
	if err := json.Unmarshal([]byte(in.AccessLogFormat), &s.AccessLogFormat.Labels); err != nil {
		r.wrong("accessLogFormat", "with accessLogEncoding JSON it must be an object in JSON: %v", err)
	}
	r.labels(s.AccessLogFormat.Labels, "accessLogFormat")
}

// logFormat checks the operators of a format.
func (r *reader) logFormat(text string, labels *structpb.Struct, field string) mesh.LogFormat {
	f := mesh.LogFormat{Text: text}
	if _, err := telemetry.Operators(text); err != nil {
		r.wrong(field, "%v", err)
	}
	if len(labels.GetFields()) > 0 {
		f.Labels = labels.AsMap()
		r.labels(f.Labels, field)
	}
	return f
}

func (r *reader) labels(value any, field string) {
	switch v := value.(type) {
	case string:
		if _, err := telemetry.Operators(v); err != nil {
			r.wrong(field, "%v", err)
		}
	case map[string]any:
		for key, x := range v {
			r.labels(x, fmt.Sprintf("%s[%q]", field, key))
		}
	case []any:
		for i, x := range v {
			r.labels(x, fmt.Sprintf("%s[%d]", field, i))
		}
	}
}

// unserved gives what is told of providers that nothing calls, and of default providers that there are not.
func unserved(s *mesh.Settings, in *meshconfig.MeshConfig) (out []mesh.Problem) {
	tell := func(field, hint, format string, args ...any) {
		out = append(out, mesh.Problem{Field: field, Code: mesh.CodeNotEnforced, Message: fmt.Sprintf(format, args...), Hint: hint})
	}
	for _, list := range []struct {
		field string
		names []string
		takes func(*mesh.Provider) bool
		what  string
	}{
		{"accessLogging", s.Defaults.Logging, (*mesh.Provider).Logs, "access logs"},
		{"tracing", s.Defaults.Tracing, func(p *mesh.Provider) bool { return p.Traces != nil }, "traces"},
		{"metrics", s.Defaults.Metrics, func(p *mesh.Provider) bool { return p.Metrics }, "metrics"},
	} {
		for i, name := range list.names {
			field := fmt.Sprintf("defaultProviders.%s[%d]", list.field, i)
			switch p := s.Provider(name); {
			case p == nil:
				tell(field, "name one of extensionProviders", "there is no provider %q", name)
			case !list.takes(p):
				tell(field, "name another provider", "provider %q takes no %s", name, list.what)
			}
		}
	}
	return out
}
