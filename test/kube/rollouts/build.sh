#!/usr/bin/env bash
# build.sh PROGRAM builds the controller of Argo Rollouts (about 1,700 packages: some minutes the first time), and prints the folder of its module, which has its manifests.
set -euo pipefail
out=$(realpath -m "$1")
cd "$(dirname "$0")"
CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w" -o "$out" github.com/argoproj/argo-rollouts/cmd/rollouts-controller
go list -m -f '{{.Dir}}' github.com/argoproj/argo-rollouts
