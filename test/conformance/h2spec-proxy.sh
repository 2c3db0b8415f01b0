#!/usr/bin/env bash
# Runs h2spec, strict cases included, against bin/heddle-proxy in front of an upstream of HTTP/1.1.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
front=$((20000 + RANDOM % 5000)) back=$((25000 + RANDOM % 5000))
trap 'kill $(jobs -p) 2>/dev/null; rm -rf "$work"' EXIT
cat >"$work/proxy.yaml" <<YAML
node: {id: conformance}
static_resources:
  listeners:
  - name: front
    address: {socket_address: {address: 127.0.0.1, port_value: $front}}
    filter_chains:
    - filters:
      - name: http
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: front
          codec_type: HTTP2 # with AUTO a wrong preface is taken for HTTP/1.1 and answered so
          route_config: {name: all, virtual_hosts: [{name: all, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: app}}]}]}
          http_filters: [{name: router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]
  clusters:
  - name: app
    type: STATIC
    load_assignment: {cluster_name: app, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: $back}}}}]}]}
YAML
go build -o "$work/echo" ./test/conformance/echo
"$work/echo" "127.0.0.1:$back" &
bin/heddle-proxy -c "$work/proxy.yaml" 2>"$work/log" &
for port in $front $back; do
  for _ in $(seq 100); do (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break; sleep 0.1; done
done
bash test/conformance/h2spec.sh 127.0.0.1 "$front"
