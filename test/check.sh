#!/usr/bin/env bash
# Formatting, vet, architecture rules and scripts. Prints what is wrong and exits 1.
set -euo pipefail
cd "$(dirname "$0")/.."
unformatted=$(gofmt -l $(git ls-files '*.go'))
if [ -n "$unformatted" ]; then echo "check: run 'make fmt' for:"; echo "$unformatted"; exit 1; fi
go vet ./...
go test -count=1 .
for f in $(git ls-files '*.sh') .ci/run; do bash -n "$f"; done
for sum in data/bpf/*/objects.sum; do
  (cd "$(dirname "$sum")" && sha256sum --quiet -c objects.sum) || { echo "check: sources of kernel programs have changed: run 'make bpf'"; exit 1; }
done
git diff --exit-code --stat
echo "check: ok"
