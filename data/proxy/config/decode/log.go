package decode

import (
	"slices"
	"strings"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	filev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/file/v3"
	celv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/filters/cel/v3"
	streamv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/stream/v3"

	"github.com/heddle-mesh/heddle/data/proxy/accesslog"
	"github.com/heddle-mesh/heddle/data/proxy/config"
	cel "github.com/heddle-mesh/heddle/telemetry/attribute"
)

func (r *read) accessLogs(path string, list []*accesslogv3.AccessLog) (out []config.AccessLog) {
	for i, m := range list {
		p := path + indexed(i)
		if m.GetTypedConfig() == nil {
			r.add(p+".typed_config", "it is missing")
			continue
		}
		inner, err := open(m.GetTypedConfig())
		if err != nil {
			continue
		}
		log := &accesslog.Log{}
		file, t := "", p+".typed_config"
		switch c := inner.(type) {
		case *filev3.FileAccessLog:
			file = c.GetPath()
			log.Format = r.fileFormat(t, c)
		case *streamv3.StdoutAccessLog:
			file, log.Format = "/dev/stdout", r.format(t+".log_format", c.GetLogFormat())
		case *streamv3.StderrAccessLog:
			file, log.Format = "/dev/stderr", r.format(t+".log_format", c.GetLogFormat())
		default:
			r.add(t, "%s is not an access log that is supported", inner.ProtoReflect().Descriptor().FullName())
			continue
		}
		if file == "" {
			r.add(t+".path", "it is empty")
			continue
		}
		if m.GetFilter() != nil {
			log.Keep = r.logFilter(p+".filter", m.GetFilter(), 0)
		}
		if r.d.OpenLog != nil && log.Format != nil {
			if log.Sink, err = r.d.OpenLog(file); err != nil {
				r.add(t+".path", "%v", err)
				continue
			}
		}
		out = append(out, config.AccessLog{Log: log})
	}
	return out
}

func (r *read) fileFormat(path string, c *filev3.FileAccessLog) *accesslog.Format {
	switch f := c.GetAccessLogFormat().(type) {
	case *filev3.FileAccessLog_Format:
		return r.textFormat(path+".format", f.Format, false)
	case *filev3.FileAccessLog_JsonFormat:
		return r.jsonFormat(path+".json_format", f.JsonFormat.AsMap(), false)
	case *filev3.FileAccessLog_TypedJsonFormat:
		return r.jsonFormat(path+".typed_json_format", f.TypedJsonFormat.AsMap(), false)
	case *filev3.FileAccessLog_LogFormat:
		return r.format(path+".log_format", f.LogFormat)
	}
	return r.textFormat(path, accesslog.EnvoyText, false)
}

func (r *read) format(path string, f *corev3.SubstitutionFormatString) *accesslog.Format {
	switch s := f.GetFormat().(type) {
	case *corev3.SubstitutionFormatString_TextFormat:
		return r.textFormat(path+".text_format", s.TextFormat, f.GetOmitEmptyValues())
	case *corev3.SubstitutionFormatString_TextFormatSource:
		return r.textFormat(path+".text_format_source", string(r.data(path+".text_format_source", s.TextFormatSource)), f.GetOmitEmptyValues())
	case *corev3.SubstitutionFormatString_JsonFormat:
		return r.jsonFormat(path+".json_format", s.JsonFormat.AsMap(), f.GetOmitEmptyValues())
	}
	return r.textFormat(path, accesslog.EnvoyText, f.GetOmitEmptyValues())
}

func (r *read) textFormat(path, s string, omit bool) *accesslog.Format {
	f, err := accesslog.Text(s, omit)
	if err != nil {
		r.add(path, "%v", err)
	}
	return f
}

func (r *read) jsonFormat(path string, m map[string]any, omit bool) *accesslog.Format {
	f, err := accesslog.JSON(m, omit)
	if err != nil {
		r.add(path, "%v", err)
	}
	return f
}

// logFilter compiles the condition under which a line is written.
func (r *read) logFilter(path string, m *accesslogv3.AccessLogFilter, depth int) func(*accesslog.Record) bool {
	all := func(field string, list []*accesslogv3.AccessLogFilter) (out []func(*accesslog.Record) bool) {
		for i, f := range list {
			out = append(out, r.logFilter(path+"."+field+".filters"+indexed(i), f, depth+1))
		}
		return out
	}
	if depth > maxDepth {
		r.add(path, "filters are nested more than %d deep", maxDepth)
		return nil
	}
	switch f := m.GetFilterSpecifier().(type) {
	case *accesslogv3.AccessLogFilter_NotHealthCheckFilter:
		return func(*accesslog.Record) bool { return true } // there is no health check filter, so no request is one
	case *accesslogv3.AccessLogFilter_StatusCodeFilter:
		holds := r.comparison(path+".status_code_filter.comparison", f.StatusCodeFilter.GetComparison())
		return func(x *accesslog.Record) bool { return holds(int64(x.Code)) }
	case *accesslogv3.AccessLogFilter_DurationFilter:
		holds := r.comparison(path+".duration_filter.comparison", f.DurationFilter.GetComparison())
		return func(x *accesslog.Record) bool { return holds(x.Duration.Milliseconds()) }
	case *accesslogv3.AccessLogFilter_ResponseFlagFilter:
		flags := f.ResponseFlagFilter.GetFlags()
		return func(x *accesslog.Record) bool {
			if len(flags) == 0 {
				return x.Flags != ""
			}
			for flag := range strings.SplitSeq(x.Flags, ",") {
				if slices.Contains(flags, flag) {
					return true
				}
			}
			return false
		}
	case *accesslogv3.AccessLogFilter_ExtensionFilter:
		return r.expression(path+".extension_filter", f.ExtensionFilter)
	case *accesslogv3.AccessLogFilter_AndFilter:
		list := all("and_filter", f.AndFilter.GetFilters())
		return func(x *accesslog.Record) bool {
			return !slices.ContainsFunc(list, func(one func(*accesslog.Record) bool) bool { return !one(x) })
		}
	case *accesslogv3.AccessLogFilter_OrFilter:
		list := all("or_filter", f.OrFilter.GetFilters())
		return func(x *accesslog.Record) bool {
			return slices.ContainsFunc(list, func(one func(*accesslog.Record) bool) bool { return one(x) })
		}
	}
	r.add(path, "no filter is set")
	return nil
}

// expression compiles a filter that is written in CEL.
func (r *read) expression(path string, m *accesslogv3.ExtensionFilter) func(*accesslog.Record) bool {
	if m.GetTypedConfig() == nil {
		r.add(path+".typed_config", "it is missing")
		return nil
	}
	inner, err := open(m.GetTypedConfig())
	if err != nil {
		return nil // reported by honour
	}
	c, ok := inner.(*celv3.ExpressionFilter)
	if !ok {
		r.add(path+".typed_config", "%s is not a filter that is supported", inner.ProtoReflect().Descriptor().FullName())
		return nil
	}
	e, err := cel.Parse(c.GetExpression())
	if err != nil {
		r.add(path+".typed_config.expression", "%v", err)
		return nil
	}
	return accesslog.Kept(e)
}

func (r *read) comparison(path string, m *accesslogv3.ComparisonFilter) func(int64) bool {
	want := int64(m.GetValue().GetDefaultValue())
	switch m.GetOp() {
	case accesslogv3.ComparisonFilter_EQ:
		return func(n int64) bool { return n == want }
	case accesslogv3.ComparisonFilter_GE:
		return func(n int64) bool { return n >= want }
	case accesslogv3.ComparisonFilter_LE:
		return func(n int64) bool { return n <= want }
	case accesslogv3.ComparisonFilter_NE:
		return func(n int64) bool { return n != want }
	}
	r.add(path+".op", "%d is unknown", m.GetOp())
	return func(int64) bool { return false }
}
