#!/usr/bin/env bash
# Measures how long pods take to their first answer, as root, on the lab's cluster, which is started for it and ended unless KEEP is set. PODS sets the number of each form (default 20).
set -euo pipefail
cd "$(dirname "$0")/../.."
. test/lab/cluster/lib.sh
set +u; [ -n "$KEEP" ] || trap 'test/lab/cluster/down.sh' EXIT; pods=${PODS:-20}; set -u
make --no-print-directory crds envoy
test/lab/cluster/up.sh
bash charts/images.sh e2e
export CGO_ENABLED=0
go build -trimpath -buildvcs=false -ldflags "-s -w" -o dist/bin/ ./test/kube/app ./test/bench
go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=e2e" -o dist/bin/ ./cmd/heddle
dist/bin/image -name lab.local/app:1 -user 65532:65532 -o dist/app.tar dist/bin/app
test/lab/cluster/import.sh dist/*.tar
PATH=$BIN:$PATH dist/bin/bench -what podstart -kubeconfig "$KUBECONFIG_ADMIN" -heddle "$PWD/dist/bin/heddle" -pods "$pods"
