#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# A trainer linked with kernels that nvcc compiled: where there is no GPU it says so and ends with
# status 2, and --device cpu works; where there is one, --device cuda does.
# usage: nvcc_link.sh COMPILER FOLDER_OF_KERNEL_OBJECTS OBJECT_OR_LIBRARY...
set -euo pipefail

compiler=$1 objects=$2
shift 2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
libraries=()
for file in "$@"; do [[ -z $file ]] || libraries+=("$file" "-Wl,-rpath,$(dirname "$file")"); done
"$compiler" -o "$work/trainer" "$objects"/*.o "${libraries[@]}" -pthread -ldl -lrt

run() {
  "$work/trainer" --limit 8 --batch 4 --epochs 1 --threads 1 --oracle-cache "$work/cache" \
    --importance-samples 0 "$@" >"$work/out" 2>"$work/err"
}
run --device cpu --out "$work/cpu" || { cat "$work/out" "$work/err"; exit 1; }
status=0
run --device cuda --out "$work/cuda" || status=$?
if ((status == 0)); then
  echo "there is a GPU, and it trains"
elif ((status == 2)) && grep -q "^error: --device cuda: .*; --device cpu works everywhere$" "$work/err"; then
  cat "$work/err"
else
  echo "FAILED: --device cuda ended with status $status:"
  cat "$work/out" "$work/err"
  exit 1
fi
