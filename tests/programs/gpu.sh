#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# scripts/gpu without a GPU: each kind of end of a stage, results that are kept, time that runs out.
# usage: gpu.sh SCRIPT
set -euo pipefail

script=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
# run STATUS ARGUMENT...
run() {
  local expected=$1 status=0
  shift
  bash "$script" --dry-run "$@" >out 2>&1 || status=$?
  ((status == expected)) || { cat out; echo "FAILED: $*: status $status, not $expected"; exit 1; }
}
# has FILE PATTERN: a line of the file
has() { grep -qE "$2" "$1" || { cat "$1"; echo "FAILED: $1 has no line '$2'"; exit 1; }; }

run 1 --out results  # relative to the folder where it is called
has results/results.md '^\| memcheck \| failed 3 '
has results/results.md '^\| racecheck \| too long '
has results/results.md '^\| bench_conv \| missing '
has results/results.md '^\| train \| ok .*would run'
python3 -m json.tool results/results.json >/dev/null

run 1 --out results  # all but what was missing has a result
has out '^== bench_conv '
! grep -E '^== (tests|memcheck|racecheck|train) ' out || { echo "FAILED: runs again"; exit 1; }
run 0 --out results tests  # unless it is named; the failures of others do not count
has out '^== tests '

run 3 --within 12 --out late
has late/results.md '^\| train \| not reached '
run 1 --within 100 --out late
has late/results.md '^\| train \| ok '
run 2 --within soon
run 2 nonsense
