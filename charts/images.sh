#!/usr/bin/env bash
# images.sh VERSION builds the container images of the chart from static binaries, as OCI archives in dist/.
set -euo pipefail
cd "$(dirname "$0")/.."
version=${1:-dev}
export CGO_ENABLED=0
mkdir -p dist/bin
go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$version" -o dist/bin/ ./cmd/heddled ./cmd/heddle-proxy ./cmd/heddle-node ./cmd/heddle-cni ./cmd/heddle-sample
go build -trimpath -buildvcs=false -o dist/bin/ ./charts/image
dist/bin/image -name "heddle.dev/heddled:$version" -user 65532:65532 -o dist/heddled.tar dist/bin/heddled
dist/bin/image -name "heddle.dev/heddle-proxy:$version" -user 1337:1337 -o dist/heddle-proxy.tar dist/bin/heddle-proxy
dist/bin/image -name "heddle.dev/heddle-node:$version" -user 0:0 -o dist/heddle-node.tar dist/bin/heddle-node dist/bin/heddle-cni
dist/bin/image -name "heddle.dev/heddle-sample:$version" -user 65532:65532 -o dist/heddle-sample.tar dist/bin/heddle-sample
if [ -x bin/heddle-apiserver ]; then # make build
	dist/bin/image -name "heddle.dev/heddle-apiserver:$version" -user 65532:65532 -o dist/heddle-apiserver.tar bin/heddle-apiserver
fi
if [ -x .cache/envoy/envoy ]; then # make envoy
	dist/bin/image -name "heddle.dev/heddle-proxy-envoy:$version" -user 1337:1337 -file .cache/envoy/envoy:/usr/local/bin/envoy -o dist/heddle-proxy-envoy.tar dist/bin/heddle-proxy
fi
echo "images: $(ls dist/*.tar | xargs)"
