#!/usr/bin/env bash
# Gets the libraries of the gRPC interoperability suite for Java (Maven) and Node.js (npm) into .cache/grpc. What has no runtime here is left out.
set -euo pipefail
cd "$(dirname "$0")/../.."
into=$PWD/.cache/grpc
mkdir -p "$into"
if ! command -v mvn >/dev/null || ! command -v java >/dev/null; then
  echo "grpc: no Java with Maven here: its clients are skipped"
elif ! cmp -s test/grpc/java/pom.xml "$into/java/pom.xml"; then
  echo "grpc: fetching grpc-java (some 100 archives)"
  rm -rf "$into/java" && mkdir -p "$into/java"
  mvn -q -B -f test/grpc/java/pom.xml dependency:copy-dependencies -DoutputDirectory="$into/java/lib"
  cp test/grpc/java/pom.xml "$into/java/"
fi
if ! command -v npm >/dev/null; then
  echo "grpc: no Node.js with npm here: its clients are skipped"
elif ! cmp -s test/grpc/node/package.json "$into/node/package.json"; then
  echo "grpc: fetching grpc-js"
  rm -rf "$into/node" && mkdir -p "$into/node" && cp test/grpc/node/package.json "$into/node/"
  (cd "$into/node" && npm install --silent --no-audit --no-fund --no-package-lock)
fi
