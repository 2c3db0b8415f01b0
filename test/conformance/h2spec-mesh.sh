#!/usr/bin/env bash
# Runs h2spec, strict cases included, in a whole mesh (heddle up, as root): against the ingress gateway, against a sidecar from outside (inbound), and through the sidecar of the one that asks
# (outbound). Ports there are declared HTTP or nothing, so that the first bytes decide which version is spoken: a wrong preface is HTTP/1.1 and answered so (400, and the end of the connection),
# which h2spec counts as one failure. Any other is ours. The proxies have more memory than those of a demo, because one case asks for 1,024 responses at once, which a small proxy refuses
# for some milliseconds, and with them what the next case asks.
set -euo pipefail
cd "$(dirname "$0")/../.."
[ "$(id -u)" = 0 ] || { echo "h2spec-mesh: needs root, for network namespaces; left out"; exit 0; }
tool=$(bash test/conformance/h2spec.sh --tool)
run=$(mktemp -d)/run
bin/heddle up --detach --proxy-memory 128 --run-dir "$run" >/dev/null
trap 'bin/heddle down --run-dir "$run" >/dev/null; rm -rf "$(dirname "$run")"' EXIT
read -r host port address <<<"$(bin/heddle status --run-dir "$run" -o json | python3 -c '
import json, sys, urllib.parse
s = json.load(sys.stdin)
g = urllib.parse.urlparse(s["gateway"])
print(g.hostname, g.port, next(w["address"] for w in s["workloads"] if w["name"] == "catalog-v1"))')"
fabric=$(pgrep -f "heddle fabric --run-dir $run" | tail -1)
bad=0
spec() { # name, then the command
  local name=$1 out failed
  shift
  out=$("$@" -o 5 --strict 2>&1) || true
  failed=$(sed -n '/^Failures/,$p' <<<"$out" | grep -E '^ *× ' | sed 's/^ *× [0-9]*: //' || true)
  echo "$name: $(grep -E '^[0-9]+ tests' <<<"$out" || echo "did not end")"
  grep -qE '^[0-9]+ tests' <<<"$out" || bad=1
  while read -r case; do
    case $case in "" | "Sends invalid connection preface") ;; *) echo "$name failed: $case"; bad=1 ;; esac
  done <<<"$failed"
}
spec gateway "$tool" -h "$host" -p "$port"
spec inbound nsenter -t "$fabric" -n "$tool" -h "$address" -p 8080
spec outbound bin/heddle run --run-dir "$run" --name spec -- "$tool" -h catalog.shop -p 8080
exit $bad
