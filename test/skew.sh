#!/usr/bin/env bash
# Runs heddle-proxy of the last release under this control plane, and the reverse. The last release is the last tag before this commit, or SKEW=COMMIT.
set -euo pipefail
cd "$(dirname "$0")/.."
last=${SKEW:-$(git describe --tags --abbrev=0 HEAD 2>/dev/null || true)}
if [ -z "$last" ]; then
  echo "skew: there is no release yet (no tag), so that there is nothing to run beside this version; left out"
  exit 0
fi
if [ -z "${SKEW:-}" ] && [ "$(git rev-list -n1 "$last")" = "$(git rev-parse HEAD)" ]; then
  last=$(git describe --tags --abbrev=0 HEAD^ 2>/dev/null || true)
  [ -n "$last" ] || { echo "skew: this is the first release; left out"; exit 0; }
fi
folder=$PWD/.cache/last
if [ "$(cat "$folder/commit" 2>/dev/null)" != "$(git rev-parse "$last^{commit}")" ]; then
  rm -rf "$folder"
  mkdir -p "$folder/src"
  git archive "$last" | tar -x -C "$folder/src"
  (cd "$folder/src" && make -s crds && CGO_ENABLED=0 go build -trimpath -buildvcs=false -o "$folder/" ./cmd/heddle ./cmd/heddled ./cmd/heddle-proxy)
  rm -rf "$folder/src"
  git rev-parse "$last^{commit}" >"$folder/commit"
fi
echo "skew: beside $last"
HEDDLE_LAST=$folder go test -count=1 -timeout 10m -run TestSkew -v ./test/e2e | grep -E '^( *---|ok|FAIL|panic|exit|.*_test.go)'
