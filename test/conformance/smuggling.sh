#!/usr/bin/env bash
# Sends the whole corpus of request smuggling through heddle-proxy and stock Envoy. Besides net/http and Node, h11 reads what the upstreams got, if Python can install it.
set -euo pipefail
cd "$(dirname "$0")/../.."
python3 -c 'import sys; sys.path.insert(0, ".cache/python"); import h11' 2>/dev/null ||
  python3 -m pip install --quiet --disable-pip-version-check --target .cache/python h11 2>/dev/null || echo "smuggling: h11 cannot be installed; its part is left out"
go test -count=1 -timeout 10m -v ./test/smuggling -whole
