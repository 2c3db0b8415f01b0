#!/usr/bin/env bash
# Runs gRPC's interoperability suite between Go, Java and Node.js through two heddle-proxies, and tries what their libraries do without a proxy.
set -euo pipefail
cd "$(dirname "$0")/../.."
bash test/grpc/fetch.sh
go test -count=1 -timeout 25m -v ./test/grpc -peers
