#!/usr/bin/env bash
# The conformance suite of the Gateway API on a real cluster, as root: starts the lab's cluster, builds the images that the suite's manifests name, installs the mesh and runs the suite.
# The cluster is ended unless KEEP is set. Arguments are those of go test, such as -only HTTPRouteSimpleSameNamespace; without any the report is written.
set -euo pipefail
cd "$(dirname "$0")/../../.."
. test/lab/cluster/lib.sh
set +u; [ -n "$KEEP" ] || trap '"$ROOT/test/lab/cluster/down.sh"' EXIT; set -u
test/lab/cluster/up.sh
release=$(git describe --always 2>/dev/null || echo dev)
bash charts/images.sh conformance
bash test/conformance/gateway/images.sh dist/conformance
export CGO_ENABLED=0
go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=conformance" -o dist/bin/ ./cmd/heddle
test/lab/cluster/import.sh dist/heddled.tar dist/heddle-proxy.tar dist/conformance/*.tar
export KUBECONFIG=$KUBECONFIG_ADMIN
# A small node shall hold all gateways that the tests have at once.
dist/bin/heddle install --profile default --set injection.resources.requests.cpu=10m --set gateway.resources.requests.cpu=10m
cd test/conformance/gateway
# The suite has tests of experimental fields, which only the experimental definitions have.
go mod download sigs.k8s.io/gateway-api # no image needs it
api=$(go list -m -f '{{.Dir}}' sigs.k8s.io/gateway-api)
for f in "$api"/config/crd/experimental/gateway.networking*_*.yaml; do echo ---; cat "$f"; done | kubectl apply --server-side --force-conflicts -f - >/dev/null
kubectl apply -f - <<-EOF
	apiVersion: gateway.networking.k8s.io/v1
	kind: GatewayClass
	metadata: {name: heddle}
	spec: {controllerName: heddle.dev/gateway-controller}
	EOF
kubectl wait --for=jsonpath='{.status.supportedFeatures[0].name}' --timeout=60s gatewayclass/heddle >/dev/null # they are what is tested
mkdir -p "$ROOT/docs/conformance"
[ $# -gt 0 ] || set -- -report "$ROOT/docs/conformance/gateway-api.yaml"
go test -count=1 -timeout 90m -v . -cluster -release "$release" -usable "$LB_NET.254" -unusable 192.0.2.1 "$@"
