#!/usr/bin/env bash
# Scans the TLS of a heddle-proxy that is configured with nothing but certificates, RSA and ECDSA, and fails on a weak finding: a protocol below TLS 1.2, a suite without forward
# secrecy or authenticated encryption, compression, renegotiation, Heartbleed. Installs sslscan from Debian.
set -euo pipefail
cd "$(dirname "$0")/../.."
command -v sslscan >/dev/null || { echo "sslscan: installing it from Debian"; apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends sslscan >/dev/null; }
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null; rm -rf "$work"' EXIT
front=$((20000 + RANDOM % 5000))
openssl req -x509 -newkey rsa:2048 -nodes -keyout "$work/rsa.key" -out "$work/rsa.crt" -days 2 -subj /CN=scan.test -addext subjectAltName=DNS:scan.test 2>/dev/null
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$work/ecdsa.key" -out "$work/ecdsa.crt" -days 2 -subj /CN=scan.test -addext subjectAltName=DNS:scan.test 2>/dev/null
for kind in rsa ecdsa; do
  front=$((front + 1))
  cat >"$work/$kind.yaml" <<YAML
static_resources:
  listeners:
  - name: front
    address: {socket_address: {address: 127.0.0.1, port_value: $front}}
    filter_chains:
    - transport_socket:
        name: tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          common_tls_context: {alpn_protocols: [h2, http/1.1], tls_certificates: [{certificate_chain: {filename: $work/$kind.crt}, private_key: {filename: $work/$kind.key}}]}
      filters:
      - name: http
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: front
          route_config: {name: all, virtual_hosts: [{name: all, domains: ["*"], routes: [{match: {prefix: /}, direct_response: {status: 200}}]}]}
          http_filters: [{name: router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]
YAML
  bin/heddle-proxy -c "$work/$kind.yaml" 2>"$work/log" &
  for _ in $(seq 100); do (exec 3<>"/dev/tcp/127.0.0.1/$front") 2>/dev/null && break; sleep 0.1; done
  sslscan --no-colour --no-check-certificate --xml="$work/$kind.xml" --sni-name=scan.test "127.0.0.1:$front" >/dev/null
  python3 - "$work/$kind.xml" "$kind" <<'PY'
import sys
import xml.etree.ElementTree as tree

test = tree.parse(sys.argv[1]).getroot().find("ssltest")
protocols = {p.get("type") + p.get("version"): p.get("enabled") == "1" for p in test.findall("protocol")}
suites = [c.get("cipher") for c in test.findall("cipher")]
weak = [f"{name} is enabled" for name, on in protocols.items() if on and name not in ("tls1.2", "tls1.3")]
weak += [f"{s} has no forward secrecy" for s in suites if not s.startswith(("TLS_", "ECDHE-"))]
weak += [f"{s} has no authenticated encryption" for s in suites if "GCM" not in s and "POLY1305" not in s]
weak += ["renegotiation" for r in test.findall("renegotiation") if r.get("supported") == "1" and r.get("secure") != "1"]
weak += ["compression" for c in test.findall("compression") if c.get("supported") == "1"]
weak += [f"Heartbleed in {h.get('sslversion')}" for h in test.findall("heartbleed") if h.get("vulnerable") == "1"]
if not suites or not protocols.get("tls1.2") or not protocols.get("tls1.3"):
    weak.append("the scan saw no TLS 1.2 or 1.3: it proves nothing")
if weak:
    sys.exit(f"sslscan: {sys.argv[2]}: " + "; ".join(weak))
print(f"sslscan: {sys.argv[2]}: no weak finding in {len(suites)} cipher suites")
PY
done
