package main

import (
	"fmt"
	"strings"
)

const backendPort = 21800

// proxy is one program under measurement: each forwards to the backend with keep-alive connections, one worker, no access log.
type proxy struct {
	name, path, ext string
	port, admin     int // admin 0: port + 10
	config          func(*bench) string
	args            func(b *bench, file string) []string
}

// heddleArgs and envoyArgs start one worker with a file that either takes.
func heddleArgs(_ *bench, file string) []string { return []string{"-c", file, "--concurrency", "1"} }
func envoyArgs(_ *bench, file string) []string {
	return []string{"-c", file, "--concurrency", "1", "--disable-hot-restart", "-l", "error"}
}

const (
	heddlePath = "bin/heddle-proxy"
	envoyPath  = ".cache/envoy/envoy"
)

// proxies are the minimal form of each, and heddle-proxy and Envoy with what a mesh asks of them.
func (b *bench) proxies() []proxy {
	minimal := func(port, admin int) func(*bench) string {
		return func(*bench) string { return envoyConfig(port, admin) }
	}
	features := func(port, admin int) func(*bench) string {
		return func(*bench) string { return meshFeatures(envoyConfig(port, admin)) }
	}
	all := []proxy{
		{name: "heddle-proxy", path: heddlePath, ext: ".yaml", port: 21801, config: minimal(21801, 21811), args: heddleArgs},
		{name: "heddle-proxy+mesh", path: heddlePath, ext: ".yaml", port: 21805, config: features(21805, 21815), args: heddleArgs},
		{name: "nginx", path: find("nginx"), ext: ".conf", port: 21802, config: nginxConfig,
			args: func(b *bench, file string) []string { return []string{"-p", b.dir, "-c", file} }},
		{name: "haproxy", path: find("haproxy"), ext: ".cfg", port: 21803, config: haproxyConfig,
			args: func(_ *bench, file string) []string { return []string{"-db", "-f", file} }},
		{name: "envoy", path: envoyPath, ext: ".yaml", port: 21804, config: minimal(21804, 21814), args: envoyArgs},
		{name: "envoy+mesh", path: envoyPath, ext: ".yaml", port: 21806, config: features(21806, 21816), args: envoyArgs},
	}
	if b.baseline != "" {
		all = append(all, proxy{name: "baseline", path: b.baseline, ext: ".yaml", port: 21807, config: minimal(21807, 21817), args: heddleArgs},
			proxy{name: "baseline+mesh", path: b.baseline, ext: ".yaml", port: 21808, config: features(21808, 21818), args: heddleArgs})
	}
	return all
}

// meshFeatures adds an access log in Istio's words, request ids, W3C trace headers (none of 100 % is sampled), one rule of authorization by path, fault injection and CORS that
// are not asked for.
func meshFeatures(config string) string {
	return strings.NewReplacer(
		"generate_request_id: false", `access_log:
          - name: envoy.access_loggers.file
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
              path: /dev/null
              log_format: {text_format_source: {inline_string: "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% \"%UPSTREAM_TRANSPORT_FAILURE_REASON%\" %BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" \"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\" %UPSTREAM_CLUSTER% %UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n"}}
          generate_request_id: true
          tracing:
            random_sampling: {value: 0}
            provider:
              name: envoy.tracers.opentelemetry
              typed_config:
                "@type": type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig
                grpc_service: {envoy_grpc: {cluster_name: backend}, timeout: 0.25s}
                service_name: bench`,
		"          http_filters:\n", `          http_filters:
          - name: envoy.filters.http.rbac
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC
              rules: {action: DENY, policies: {admin: {permissions: [{url_path: {path: {prefix: /admin}}}], principals: [{any: true}]}}}
          - name: envoy.filters.http.fault
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault}
          - name: envoy.filters.http.cors
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors}
`).Replace(config)
}

// identified lets only the certificate of the run in, by its name.
func identified(config string) string {
	return strings.Replace(config, "          http_filters:\n", `          http_filters:
          - name: identity
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC
              rules: {action: ALLOW, policies: {peers: {permissions: [{any: true}], principals: [{authenticated: {principal_name: {exact: leaf}}}]}}}
`, 1)
}

func nginxConfig(b *bench) string {
	return fmt.Sprintf(`daemon off; worker_processes 1; pid %[1]s/nginx.pid; error_log stderr crit;
events { worker_connections 16384; }
http { access_log off; client_body_temp_path %[1]s; proxy_temp_path %[1]s; fastcgi_temp_path %[1]s; uwsgi_temp_path %[1]s; scgi_temp_path %[1]s;
keepalive_requests 1000000000;
upstream backend { server 127.0.0.1:%[2]d; keepalive 4096; keepalive_requests 1000000000; }
server { listen 127.0.0.1:21802; location / { proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection ""; } } }`, b.dir, backendPort)
}

func haproxyConfig(*bench) string {
	return fmt.Sprintf(`global
  nbthread 1
  maxconn 9000
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  http-reuse always
frontend in
  bind 127.0.0.1:21803
  default_backend out
backend out
  server one 127.0.0.1:%d
`, backendPort)
}

// envoyConfig is Envoy's minimal form, and the same file drives heddle-proxy: no access log, no request id, breakers out of the way.
func envoyConfig(port, admin int) string {
	return fmt.Sprintf(`admin: {address: {socket_address: {address: 127.0.0.1, port_value: %[2]d}}}
static_resources:
  listeners:
  - name: in
    address: {socket_address: {address: 127.0.0.1, port_value: %[1]d}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: in
          generate_request_id: false
          route_config:
            name: all
            virtual_hosts:
            - {name: all, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: backend}}]}
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
  clusters:
  - name: backend
    type: STATIC
    connect_timeout: 5s
    circuit_breakers: {thresholds: [{max_connections: 100000, max_pending_requests: 100000, max_requests: 100000, max_retries: 100000}]}
    load_assignment:
      cluster_name: backend
      endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %[3]d}}}}]}]
`, port, admin, backendPort)
}
