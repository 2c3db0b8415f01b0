package catalog

import (
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

func read(t *testing.T, text string) map[string]any {
	t.Helper()
	var tree map[string]any
	if err := yaml.Unmarshal([]byte(text), &tree); err != nil {
		t.Fatal(err)
	}
	return tree
}

func TestMistakesAreToldWithTheirPaths(t *testing.T) {
	const filter = "envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter"
	for _, c := range []struct{ name, message, text, path, reason string }{
		{"unknown field", "envoy.config.cluster.v3.Cluster", "{name: a, conect_timeout: 1s}", "conect_timeout", "has no such field"},
		{"unknown field below", "envoy.config.cluster.v3.Cluster", "{circuit_breakers: {thresholds: [{}, {max: 1}]}}", "circuit_breakers.thresholds[1].max", "has no such field"},
		{"unknown type", filter, `{name: a, typed_config: {"@type": type.googleapis.com/envoy.config.filter.http.lua.v2.Lua}}`, "typed_config.@type", "no type envoy.config.filter.http.lua.v2.Lua"},
		{"no type", filter, `{name: a, typed_config: {a: b}}`, "typed_config.@type", "not named"},
		{"unknown field of an Any", filter, `{typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer, max: 1}}`, "typed_config.max", "has no such field"},
		{"typed struct", filter, `{typed_config: {"@type": type.googleapis.com/udpa.type.v1.TypedStruct, type_url: type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer, value: {max: 1}}}`,
			"typed_config.value.max", "has no such field"},
		{"unknown typed struct", filter, `{typed_config: {"@type": type.googleapis.com/udpa.type.v1.TypedStruct, type_url: type.googleapis.com/stats.PluginConfig}}`, "typed_config.value.@type", "no type stats.PluginConfig"},
		{"mistaken key of a typed struct", filter, `{name: a, typed_config: {"@type": type.googleapis.com/udpa.type.v1.TypedStruct, type_url: type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC, values: {rules: {}}}}`, "typed_config.values", "no such field"},
		{"typed struct without a message", filter, `{name: a, typed_config: {"@type": type.googleapis.com/udpa.type.v1.TypedStruct, type_url: type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC, value: rules}}`, "typed_config.value", "want a message"},
		{"two types of a typed struct", filter, `{name: a, typed_config: {"@type": type.googleapis.com/udpa.type.v1.TypedStruct, type_url: type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC, value: {"@type": type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer}}}`,
			"typed_config.value.@type", "named by type_url"},
		{"wrong duration", "envoy.config.cluster.v3.Cluster", "{name: a, connect_timeout: soon}", "connect_timeout", "invalid google.protobuf.Duration"},
		{"wrong number", "envoy.config.cluster.v3.Cluster", "{circuit_breakers: {thresholds: [{}, {max_requests: many}]}}", "circuit_breakers.thresholds[1].max_requests", "invalid value"},
		{"wrong value of an Any", filter, `{typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer, max_request_bytes: x}}`, "typed_config.max_request_bytes", "invalid value"},
		{"too much", "envoy.config.cluster.v3.Cluster", "{name: " + strings.Repeat("a", mostBytes) + "}", "", "bytes"},
		{"too deep", "envoy.config.core.v3.TransportSocket", strings.Repeat(`{name: a, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport, transport_socket: `, 60) + "{}" +
			strings.Repeat("}}", 60), "typed_config", "nested deeper"},
		{"no such message", "envoy.Nothing", "{}", "", "there is no type"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, problems := Read(protoreflect.FullName(c.message), read(t, c.text))
			if len(problems) == 0 {
				t.Fatal("nothing was told")
			}
			p := problems[0]
			if !strings.HasSuffix(p.Path, c.path) || !strings.Contains(p.Reason, c.reason) {
				t.Errorf("told %+v, want %s: %s", p, c.path, c.reason)
			}
		})
	}
}

func TestATypedStructBecomesItsMessage(t *testing.T) {
	const of = "{name: a, typed_config: {%}}"
	typed := `"@type": type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer, max_request_bytes: 5`
	plain := `"@type": type.googleapis.com/xds.type.v3.TypedStruct, typeUrl: type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer, value: {max_request_bytes: 5}`
	var got [2]string
	for i, text := range []string{typed, plain} {
		m, problems := Read("envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter", read(t, strings.Replace(of, "%", text, 1)))
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		if err := Validate(m); err != nil {
			t.Error(err)
		}
		got[i] = protoText(m)
	}
	if got[0] != got[1] {
		t.Errorf("%s\nis not\n%s", got[1], got[0])
	}
}

func TestRulesWithinAnyValuesCount(t *testing.T) {
	for name, text := range map[string]string{
		"the message": "{name: ''}",
		"in an Any":   `{name: a, transport_socket: {name: b, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer, max_request_bytes: 0}}}`,
		"in a map":    `{name: a, typed_extension_protocol_options: {b: {"@type": type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer, max_request_bytes: 0}}}`,
	} {
		m, problems := Read("envoy.config.cluster.v3.Cluster", read(t, text))
		if len(problems) > 0 {
			t.Fatal(name, problems)
		}
		if Validate(m) == nil {
			t.Errorf("%s: no rule is broken", name)
		}
	}
}

func protoText(m proto.Message) string {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return err.Error()
	}
	return string(b)
}
