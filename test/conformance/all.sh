#!/usr/bin/env bash
# Runs all suites, or those that are named (h2spec-codec h2spec-proxy h2spec-mesh smuggling clients grpc sslscan istio gateway), one after the other, whatever comes of the ones before, as root. Each
# one's output goes to .cache/conformance/NAME.log. When all were run, docs/conformance/suites.yaml says what came of them. It fails if anything failed or was left out.
set -euo pipefail
cd "$(dirname "$0")/../.."
all=(h2spec-codec h2spec-proxy h2spec-mesh smuggling clients grpc sslscan istio gateway)
suite() {
  case $1 in
  h2spec-codec) bash test/conformance/h2spec.sh ;;
  istio) go test -count=1 -v -timeout 10m ./test/conformance/istio ;;
  gateway) bash test/conformance/gateway/run.sh ;;
  h2spec-proxy | h2spec-mesh | smuggling | clients | grpc | sslscan) bash "test/conformance/$1.sh" ;;
  esac
}
version=$(git describe --always --dirty 2>/dev/null || echo unknown)
logs=$PWD/.cache/conformance
mkdir -p "$logs"
[ $# -gt 0 ] && named=("$@") || named=("${all[@]}")
for s in "${named[@]}"; do
  [[ " ${all[*]} " == *" $s "* ]] || { echo "conformance: there is no suite $s; there are: ${all[*]}" >&2; exit 2; }
done
results=()
for s in "${named[@]}"; do
  echo "conformance: $s (its output is in .cache/conformance/$s.log)"
  start=$SECONDS status=0
  suite "$s" >"$logs/$s.log" 2>&1 || status=$?
  results+=("$s=$status=$((SECONDS - start))")
  python3 test/conformance/report.py "$logs" "$version" - "${results[-1]}" || true
done
python3 test/conformance/report.py "$logs" "$version" "$([ $# -gt 0 ] && echo /dev/null || echo docs/conformance/suites.yaml)" "${results[@]}"
