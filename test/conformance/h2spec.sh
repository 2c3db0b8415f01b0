#!/usr/bin/env bash
# Runs h2spec, strict cases included, against the address given ("127.0.0.1 8080"), or against the codec by itself when there is none; --tool prints where the tool is. It is fetched by its module's name
# and version; its dependencies are the latest, because that version is from before modules.
set -euo pipefail
cd "$(dirname "$0")/../.."
version=v2.2.1+incompatible
tool=$PWD/.cache/h2spec-$version/h2spec
if [ ! -x "$tool" ]; then
  mkdir -p "$(dirname "$tool")"
  GOBIN=$(dirname "$tool") GOFLAGS=-mod=mod go install "github.com/summerwind/h2spec/cmd/h2spec@$version"
fi
if [ "${1-}" = --tool ]; then # only say where it is
  echo "$tool"
  exit
fi
if [ $# = 0 ]; then
  work=$(mktemp -d)
  go test -c -o "$work/server" ./data/proxy/http2
  port=$((20000 + RANDOM % 10000))
  "$work/server" -test.run '^TestServe$' -test.timeout 10m -serve "127.0.0.1:$port" >"$work/log" 2>&1 &
  server=$!
  trap 'kill $server 2>/dev/null; rm -rf "$work"' EXIT
  for _ in $(seq 100); do (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break; sleep 0.1; done
  set -- 127.0.0.1 "$port"
fi
"$tool" -h "$1" -p "$2" -o 5 --strict
