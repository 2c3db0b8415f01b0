#!/usr/bin/env bash
# Fuzzes every decoder of the repository, or those whose name, or folder and name (data/proxy/hpack/FuzzDecode), match the second argument, for so many CPU minutes each, and prints one line for each: CPU seconds, runs,
# inputs kept, and the share of its package's statements that the kept inputs reach. What fuzzing keeps is in Go's cache, and the next call goes on from there.
# Tests are asked to be short: setting the API server up is not fuzzing.
set -euo pipefail
cd "$(dirname "$0")/.."
minutes=${1:-1} only=${2:-.}
cache=$(go env GOCACHE)/fuzz
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
TIMEFORMAT='%U %S'

# round runs the fuzzer once, at most two minutes, and adds what it cost to $cpu and $runs.
round() {
  local status=0 seconds
  seconds=$(awk -v cpu="$cpu" -v want="$minutes" -v cores="$(nproc)" 'BEGIN {s = int((want * 60 - cpu) / cores) + 1; print (s > 120) ? 120 : s}')
  { time "$work/test" -test.short -test.run '^$' -test.fuzz "^$target\$" -test.fuzztime "${seconds}s" -test.fuzzminimizetime 10x -test.fuzzcachedir "$cache/$package" >"$work/out" 2>&1; } 2>"$work/time" || status=$?
  cpu=$(awk -v had="$cpu" '{print had + $1 + $2}' "$work/time")
  runs=$((runs + $(grep -oE 'execs: [0-9]+' "$work/out" | tail -1 | grep -oE '[0-9]+' || echo 0)))
  [ "$status" = 0 ] && return
  # Go's fuzzer calls its own time-out a failure when it comes while an input is being minimised (golang/go#75804); a real one names an input.
  if grep -q 'context deadline exceeded' "$work/out" && ! grep -q 'Failing input written' "$work/out"; then return; fi
  cat "$work/out"
  exit 1
}

# reach is the coverage by the corpus that fuzzing has kept, seen from a copy of the package's test data.
reach() {
  local seeds=testdata/fuzz/$target kept=$cache/$package/$target
  mkdir -p "$work/run/$seeds"
  cp -r "$dir/testdata" "$work/run/" 2>/dev/null || true
  [ -d "$kept" ] && cp "$kept"/* "$work/run/$seeds/" 2>/dev/null || true
  inputs=$(find "$work/run/$seeds" -type f | wc -l)
  coverage=$(cd "$work/run" && "$work/covered" -test.short -test.run "^$target\$" 2>/dev/null | grep -oE '[0-9.]+%' | head -1 || true)
  rm -rf "$work/run"
}

printf '%-34s %-24s %8s %12s %7s %9s\n' package target 'CPU s' runs inputs reached
grep -rlE '^func Fuzz' --include='*_test.go' . | sort | while read -r file; do
  dir=$(dirname "$file")
  for target in $(grep -ohE '^func Fuzz[A-Za-z0-9_]+' "$file" | sed 's/func //'); do
    [[ $target =~ $only || ${dir#./}/$target =~ $only ]] || continue
    package=$(cd "$dir" && go list .)
    (cd "$dir" && go test -c -fuzz "^$target\$" -o "$work/test" . && go test -c -cover -o "$work/covered" .)
    cpu=0 runs=0
    cd "$dir"
    while awk -v cpu="$cpu" -v want="$minutes" 'BEGIN {exit cpu >= want * 60}'; do round; done
    cd - >/dev/null
    reach
    printf '%-34s %-24s %8.0f %12d %7d %9s\n' "${dir#./}" "$target" "$cpu" "$runs" "$inputs" "${coverage:-?}"
  done
done
