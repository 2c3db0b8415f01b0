#!/usr/bin/env bash
# Asks through heddle-proxy with curl, wrk, h2load, Node, Java, httpx, and two libraries of WebSocket (ws, websockets); what is not installed is skipped, and named.
set -euo pipefail
cd "$(dirname "$0")/../.."
for p in curl=curl wrk=wrk h2load=nghttp2-client; do
  command -v "${p%%=*}" >/dev/null || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${p#*=}" >/dev/null; } || echo "clients: ${p%%=*} cannot be installed; its part is left out"
done
python3 -c 'import sys; sys.path.insert(0, ".cache/python"); import httpx, h2' 2>/dev/null ||
  python3 -m pip install --quiet --disable-pip-version-check --target .cache/python 'httpx[http2]' 2>/dev/null || echo "clients: httpx cannot be installed; its part is left out"
python3 -c 'import sys; sys.path.insert(0, ".cache/python"); import websockets' 2>/dev/null ||
  python3 -m pip install --quiet --disable-pip-version-check --target .cache/python websockets 2>/dev/null || echo "clients: websockets cannot be installed; its part is left out"
[ -d .cache/node/node_modules/ws ] || npm install --silent --no-fund --no-audit --prefix .cache/node ws || echo "clients: ws cannot be installed; its part is left out"
go test -count=1 -timeout 10m -v ./test/clients | grep -E '^ *--- |is not installed|^(ok|FAIL|PASS)'
