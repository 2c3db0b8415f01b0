#!/usr/bin/env bash
# Measures heddle-proxy beside nginx, HAProxy and stock Envoy in one run, and prints ratios. Installs what is missing from Debian. BENCH_SECONDS sets the
# seconds of each measurement (default 10).
set -euo pipefail
cd "$(dirname "$0")/../.."
missing=()
command -v nginx >/dev/null || [ -x /usr/sbin/nginx ] || missing+=(nginx-light)
command -v haproxy >/dev/null || [ -x /usr/sbin/haproxy ] || missing+=(haproxy)
command -v wrk >/dev/null || missing+=(wrk)
command -v h2load >/dev/null || missing+=(nghttp2-client)
command -v nghttpx >/dev/null || missing+=(nghttp2-proxy)
command -v nghttpd >/dev/null || missing+=(nghttp2-server)
if [ ${#missing[@]} -gt 0 ]; then
  echo "bench: installing ${missing[*]} from Debian"
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi
exec go run ./test/bench -seconds "${BENCH_SECONDS:-10}" "$@"
