#!/usr/bin/env bash
# The proof on a real cluster, as root: starts the lab's cluster, builds and imports the images, and runs the tests of this folder. The cluster is ended unless KEEP is set.
# Arguments are those of go test, such as -run TestNode.
set -euo pipefail
cd "$(dirname "$0")/../.."
. test/lab/cluster/lib.sh
set +u; [ -n "$KEEP" ] || trap 'test/lab/cluster/down.sh' EXIT; set -u
test/lab/cluster/up.sh
bash charts/images.sh e2e
export CGO_ENABLED=0
go build -trimpath -buildvcs=false -ldflags "-s -w" -o dist/bin/ ./test/kube/app
go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=e2e" -o dist/bin/ ./cmd/heddle
dist/bin/image -name lab.local/app:1 -user 65532:65532 -o dist/app.tar dist/bin/app
rollouts=$(bash test/kube/rollouts/build.sh dist/bin/rollouts-controller)
dist/bin/image -name lab.local/argo-rollouts:1 -user 999:999 -o dist/argo-rollouts.tar dist/bin/rollouts-controller
test/lab/cluster/import.sh dist/*.tar
go test -count=1 -timeout 45m -v ./test/kube -kubeconfig "$KUBECONFIG_ADMIN" -bin "$BIN" -heddle "$PWD/dist/bin/heddle" -lab "$PWD/test/lab/cluster" \
	-node-pid "$(daemon_pid node1)" -rollouts "$rollouts" "$@"
