#!/usr/bin/env bash
# Every test of the repository. Fast packages run with the race detector where cgo and a C compiler exist; the allocation
# assertions run in a second pass without it, because the detector makes sync.Pool drop at random.
set -euo pipefail
cd "$(dirname "$0")/.."
race=-race
if ! command -v gcc >/dev/null; then
  echo "test: no C compiler, so the race detector is skipped (apt-get install gcc)"
  race=
fi
if ! command -v iptables-save >/dev/null; then
  echo "test: installing iptables, one of the ways of capture (as root)"
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends iptables >/dev/null
fi
echo "== packages ${race:+with the race detector}"
CGO_ENABLED=$([ -n "$race" ] && echo 1 || echo 0) go test $race -timeout 20m $(go list ./... | grep -v -E '/test/(apis|e2e|bench|soak|interop|pod)')
echo "== metrics, with labels held as in the build"
go test -tags dedupelabels -timeout 5m ./platform/observe/...
echo "== what fixtures compile to"
CGO_ENABLED=$([ -n "$race" ] && echo 1 || echo 0) go test $race -run TestCompiled ./test/interop
echo "== allocation assertions, without the race detector"
go test -timeout 10m -run 'Alloc' $(go list ./data/... ./authz/... ./xds/... ./control/...)
echo "== the API server"
# The same flags as the build, or all of Kubernetes is compiled once more.
(cd apiserver && CGO_ENABLED=0 go test -trimpath -timeout 15m ./...)
echo "== the lab's enforcer of NetworkPolicy"
(cd test/lab/cluster && CGO_ENABLED=0 go test -trimpath ./policy)
# The suites below start whole meshes; each has the machine for itself, so that time-outs mean something.
echo "== fixtures on heddle-proxy and on stock Envoy"
go test -count=1 -timeout 25m ./test/interop/...
echo "== injected pods in network namespaces"
go test -count=1 -timeout 10m ./test/pod
echo "== heddled on two APIs"
go test -count=1 -timeout 10m ./test/apis
echo "== heddle up, end to end"
go test -count=1 -timeout 15m ./test/e2e/...
echo "== beside the last release"
bash test/skew.sh
echo "== a minute of the soak"
go run ./test/soak -length 1m -rate 100
