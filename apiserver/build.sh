#!/bin/sh
# Builds heddle-apiserver into the given file (default ../bin/heddle-apiserver),
# after taking the definitions that it embeds. Tests build with the same flags:
# others would compile all of Kubernetes again.
set -eu
out=${1:-../bin/heddle-apiserver}
case $out in
/*) ;;
*) [ $# -eq 0 ] || out=$PWD/$out ;;
esac
cd "$(dirname "$0")"
./gen.sh
mkdir -p "$(dirname "$out")"
CGO_ENABLED=0 exec go build -trimpath -ldflags "-s -w" -o "$out" .
