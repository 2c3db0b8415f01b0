package filter

import (
	"cmp"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	filev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/file/v3"
	celv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/filters/cel/v3"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/heddle-mesh/heddle/control/compile/message"
	"github.com/heddle-mesh/heddle/control/compile/view"
	"github.com/heddle-mesh/heddle/mesh"
	"github.com/heddle-mesh/heddle/telemetry"
	"github.com/heddle-mesh/heddle/telemetry/attribute"
)

// field is one value of the access log: its JSON key and its operator, in the order of Istio's default text format.
type field struct{ key, operator string }

var logFields = []field{
	{"start_time", "%START_TIME%"},
	{"method", "%REQ(:METHOD)%"},
	{"path", "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%"},
	{"protocol", "%PROTOCOL%"},
	{"response_code", "%RESPONSE_CODE%"},
	{"response_flags", "%RESPONSE_FLAGS%"},
	{"response_code_details", "%RESPONSE_CODE_DETAILS%"},
	{"connection_termination_details", "%CONNECTION_TERMINATION_DETAILS%"},
	{"upstream_transport_failure_reason", "%UPSTREAM_TRANSPORT_FAILURE_REASON%"},
	{"bytes_received", "%BYTES_RECEIVED%"},
	{"bytes_sent", "%BYTES_SENT%"},
	{"duration", "%DURATION%"},
	{"upstream_service_time", "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%"},
	{"x_forwarded_for", "%REQ(X-FORWARDED-FOR)%"},
	{"user_agent", "%REQ(USER-AGENT)%"},
	{"request_id", "%REQ(X-REQUEST-ID)%"},
	{"authority", "%REQ(:AUTHORITY)%"},
	{"upstream_host", "%UPSTREAM_HOST%"},
	{"upstream_cluster", "%UPSTREAM_CLUSTER_RAW%"},
	{"upstream_local_address", "%UPSTREAM_LOCAL_ADDRESS%"},
	{"downstream_local_address", "%DOWNSTREAM_LOCAL_ADDRESS%"},
	{"downstream_remote_address", "%DOWNSTREAM_REMOTE_ADDRESS%"},
	{"requested_server_name", "%REQUESTED_SERVER_NAME%"},
	{"route_name", "%ROUTE_NAME%"},
}

// quoted are the fields that the text format puts between quotation marks; opens and closes join several fields in one pair.
var quoted = map[string]bool{
	"upstream_transport_failure_reason": true, "x_forwarded_for": true, "user_agent": true, "request_id": true, "authority": true, "upstream_host": true,
}

func textFormat() string {
	var s string
	for i, f := range logFields {
		if i > 0 {
			s += " "
		}
		op := f.operator
		switch {
		case f.key == "start_time":
			op = "[" + op + "]"
		case f.key == "method":
			op = `"` + op
		case f.key == "protocol":
			op += `"`
		case quoted[f.key]:
			op = `"` + op + `"`
		}
		s += op
	}
	return s + "\n"
}

// AccessLog are the access logs of a side of the traffic: those that Telemetries and MeshConfig's default providers ask for, else that of MeshConfig's accessLogFile.
func AccessLog(v *view.View, side mesh.Side) (out []*accesslogv3.AccessLog) {
	list, said := v.Loggers(side)
	if s := v.Settings(); !said && s.AccessLogFile != "" {
		return []*accesslogv3.AccessLog{fileLog(v, &mesh.FileLog{Path: s.AccessLogFile, Format: meshFormat(s)}, "accessLogFormat")}
	}
	for _, l := range list {
		f, field := *l.File, "extensionProviders["+strconv.Quote(l.Name)+"].envoyFileAccessLog.logFormat"
		if l.Name == mesh.MeshLog && reflect.ValueOf(f.Format).IsZero() && !f.OmitEmpty {
			f.Format, field = meshFormat(v.Settings()), "accessLogFormat"
		}
		if log := fileLog(v, &f, field); keeping(v, &l, log) {
			out = append(out, log)
		}
	}
	return out
}

// keeping has a log keep what its expression is true of; false says that the proxy cannot tell, and is to keep nothing.
func keeping(v *view.View, l *view.Logger, log *accesslogv3.AccessLog) bool {
	if l.Filter == "" {
		return true
	}
	tell := func(format string, args ...any) {
		v.Notice(mesh.Problem{Object: l.Origin, Field: "spec.accessLogging", Code: mesh.CodeNotEnforced, Message: fmt.Sprintf(format, args...), Hint: "use another expression, or run the workload with the other data plane"})
	}
	e, err := attribute.Parse(l.Filter)
	if err != nil {
		return false // it was told when it was read
	}
	if v.Can(mesh.FeatureExtensions) {
		if strange := e.UnknownToEnvoy(); len(strange) > 0 {
			tell("stock Envoy cannot evaluate %s, so it logs nothing to %s", strings.Join(strange, " and "), l.Name)
			return false
		}
	} else {
		for _, name := range attribute.UnknownToHeddle(e.Uses()) {
			tell("heddle-proxy does not know %s: where the expression asks for it, nothing is logged to %s", name, l.Name)
		}
	}
	if !v.Can(mesh.FeatureLogFilter) {
		tell("some connected proxies cannot filter their logs, and log nothing to %s", l.Name)
		return false
	}
	log.Filter = &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_ExtensionFilter{ExtensionFilter: &accesslogv3.ExtensionFilter{
		Name: "envoy.access_loggers.extension_filters.cel", ConfigType: &accesslogv3.ExtensionFilter_TypedConfig{TypedConfig: message.Any(&celv3.ExpressionFilter{Expression: l.Filter})},
	}}}
	return true
}

// common is a text with operators as far as the proxy knows them; MeshConfig's owner is told of others.
func common(v *view.View, text, field string) string {
	if !strings.Contains(text, "%") || v.Can(mesh.FeatureExtensions) {
		return text
	}
	out, lost := telemetry.Common(text)
	for _, name := range lost {
		v.Notice(mesh.Problem{
			Object: mesh.Ref{Kind: "MeshConfig", Name: field}, Field: field, Code: mesh.CodeNotEnforced,
			Message: "heddle-proxy does not know the operator %" + name + "%, and writes a dash in its place", Hint: "leave it out, or run the workload with stock Envoy",
		})
	}
	return out
}

// meshFormat is what MeshConfig says of the format.
func meshFormat(s *mesh.Settings) mesh.LogFormat {
	f := s.AccessLogFormat
	f.JSON = s.AccessLogJSON
	return f
}

func fileLog(v *view.View, f *mesh.FileLog, field string) *accesslogv3.AccessLog {
	return logTo("envoy.access_loggers.file", &filev3.FileAccessLog{
		Path: cmp.Or(f.Path, "/dev/stdout"), AccessLogFormat: &filev3.FileAccessLog_LogFormat{LogFormat: logFormat(v, f, field)},
	})
}

func logTo(name string, config proto.Message) *accesslogv3.AccessLog {
	return &accesslogv3.AccessLog{Name: name, ConfigType: &accesslogv3.AccessLog_TypedConfig{TypedConfig: message.Any(config)}}
}

func logFormat(v *view.View, f *mesh.FileLog, field string) *corev3.SubstitutionFormatString {
	out := &corev3.SubstitutionFormatString{OmitEmptyValues: f.OmitEmpty}
	if f.Format.JSON {
		out.Format = &corev3.SubstitutionFormatString_JsonFormat{JsonFormat: logObject(v, f.Format.Labels, field)}
		return out
	}
	out.Format = &corev3.SubstitutionFormatString_TextFormatSource{TextFormatSource: &corev3.DataSource{
		Specifier: &corev3.DataSource_InlineString{InlineString: logText(common(v, f.Format.Text, field))},
	}}
	return out
}

// logObject is a format as an object; without labels it is Istio's.
func logObject(v *view.View, labels map[string]any, field string) *structpb.Struct {
	if len(labels) > 0 {
		if s, err := structpb.NewStruct(commonValue(v, labels, field).(map[string]any)); err == nil {
			return s
		}
	}
	fields := message.Fields{}
	for _, f := range logFields {
		fields[f.key] = f.operator
	}
	return message.Struct(fields)
}

// commonValue is common of all texts in a value.
func commonValue(v *view.View, value any, field string) any {
	switch x := value.(type) {
	case string:
		return common(v, x, field)
	case map[string]any:
		out := make(map[string]any, len(x))
		for key, one := range x {
			out[key] = commonValue(v, one, field)
		}
		return out
	case []any:
		out := make([]any, len(x))
		for i, one := range x {
			out[i] = commonValue(v, one, field)
		}
		return out
	}
	return value
}

// logText is a format as a line of a file: it ends with a line feed.
func logText(s string) string {
	switch {
	case s == "":
		return textFormat()
	case strings.HasSuffix(s, "\n"):
		return s
	}
	return s + "\n"
}
