#!/bin/sh
# Takes the CustomResourceDefinitions from the Go modules that ship them into
# crds/, which heddle-apiserver embeds. Run before every build; it is quick.
set -eu
cd "$(dirname "$0")"
exec go run ./crdgen crds
