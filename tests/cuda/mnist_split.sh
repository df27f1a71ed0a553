#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# mnist_split --device cuda trains, is taken up again, evaluates, and agrees with --device cpu.
# usage: mnist_split.sh PROGRAM
set -euo pipefail

program=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
run() {
  "$program" --limit 8 --batch 4 --supervision 0.5 --threads 1 --oracle-cache "$work/cache" \
    --importance-rows 2 --importance-samples 3 "$@" >"$work/out" 2>&1 || {
    cat "$work/out"
    exit 1
  }
}
loss_of() { sed -n "$2p" "$1/metrics.jsonl" | sed 's/.*"loss":\([0-9.]*\).*/\1/'; }

run --device cpu --epochs 2 --out "$work/cpu"
run --device cuda --epochs 1 --out "$work/cuda"
run --device cuda --epochs 2 --out "$work/cuda" --resume
run --device cuda --eval "$work/cuda/best.safetensors" --out "$work/cuda"
for epoch in 1 2; do
  cpu=$(loss_of "$work/cpu" "$epoch") cuda=$(loss_of "$work/cuda" "$epoch")
  awk -v a="$cpu" -v b="$cuda" 'BEGIN { exit !(a > 0 && (a - b) ^ 2 < (1e-4 * a) ^ 2) }' || {
    echo "FAILED: epoch $epoch: a loss of $cpu on the CPU, $cuda on the device"
    exit 1
  }
done
for file in summary.json reconstructions.png samples.png checkpoint.safetensors; do
  [[ -s $work/cuda/$file ]] || { echo "FAILED: no $file"; exit 1; }
done
