#!/usr/bin/env bash
# images.sh DIR builds the images that the suite's manifests name, from the modules of this folder, as OCI archives with those very names.
set -euo pipefail
mkdir -p "$1"
out=$(cd "$1" && pwd)
cd "$(dirname "$0")"
export CGO_ENABLED=0
mkdir -p "$out/bin"
go build -trimpath -buildvcs=false -ldflags "-s -w" -o "$out/bin/" sigs.k8s.io/gateway-api/conformance/echo-basic istio.io/istio/pkg/test/echo/cmd/server istio.io/istio/pkg/test/echo/cmd/client ./images/coredns
(cd ../../.. && go build -trimpath -buildvcs=false -o "$out/bin/" ./charts/image)
[ -s "$out/cert.crt" ] || openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365 -subj /CN=echo -addext subjectAltName=DNS:echo -keyout "$out/cert.key" -out "$out/cert.crt" 2>/dev/null
chmod 644 "$out/cert.key"
rm -f "$out"/*.tar
for name in $(grep -rhoE 'image: registry[^ ]+' "$(go list -m -f '{{.Dir}}' sigs.k8s.io/gateway-api/conformance)" | cut -d' ' -f2 | sort -u); do
	archive=$out/$(basename "${name//:/-}").tar
	case $name in
	*/echo-basic:*) "$out/bin/image" -name "$name" -o "$archive" "$out/bin/echo-basic" ;;
	*/echo-advanced:*) "$out/bin/image" -name "$name" -file "$out/cert.crt:/cert.crt" -file "$out/cert.key:/cert.key" -o "$archive" "$out/bin/server" "$out/bin/client" ;;
	*/coredns:*) "$out/bin/image" -name "$name" -o "$archive" "$out/bin/coredns" ;;
	*) echo "images: the suite names $name, which is not built here" >&2; exit 1 ;;
	esac
done
