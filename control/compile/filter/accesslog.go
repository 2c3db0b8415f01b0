package filter

import (
	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	filev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/file/v3"

	"github.com/heddle-mesh/heddle/control/compile/message"
	"github.com/heddle-mesh/heddle/mesh"
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

// AccessLog is Istio's default access log, or nothing when the mesh has none.
func AccessLog(s *mesh.Settings) []*accesslogv3.AccessLog {
	if s.AccessLogFile == "" {
		return nil
	}
	format := &corev3.SubstitutionFormatString{}
	if s.AccessLogJSON {
		fields := message.Fields{}
		for _, f := range logFields {
			fields[f.key] = f.operator
		}
		format.Format = &corev3.SubstitutionFormatString_JsonFormat{JsonFormat: message.Struct(fields)}
	} else {
		format.Format = &corev3.SubstitutionFormatString_TextFormatSource{TextFormatSource: &corev3.DataSource{
			Specifier: &corev3.DataSource_InlineString{InlineString: textFormat()},
		}}
	}
	return []*accesslogv3.AccessLog{{
		Name: "envoy.access_loggers.file",
		ConfigType: &accesslogv3.AccessLog_TypedConfig{TypedConfig: message.Any(&filev3.FileAccessLog{
			Path: s.AccessLogFile, AccessLogFormat: &filev3.FileAccessLog_LogFormat{LogFormat: format},
		})},
	}}
}
