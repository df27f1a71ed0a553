#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Training steps on a GPU: this library and every way in which PyTorch runs the same step.
set -euo pipefail

if [[ ${1-} == -h || ${1-} == --help ]]; then
  cat <<'END'
usage: benchmarks/compare_gpu.sh [PROGRAM [MODEL...]]

PROGRAM is bench_train_step of a build with CUDA (build/cuda/benchmarks/bench_train_step), MODEL one
of svae-star, svae, vaevae, vaevae-star (the first three). Needs a Python with PyTorch 2. Environment:

  PYTHON   the Python (python3)
  AMP      arithmetic of PyTorch: "none" (float32, as here), "tf32", "bf16"; several in one string
  MODES    PyTorch's modes, each with its options after colons (all that this script knows)
  STEPS    timed steps of a run (200)
  SECONDS_EACH  limit of a run (300); compilation counts
END
  exit 0
fi
cd "$(dirname "${BASH_SOURCE[0]}")/.."
program=${1:-build/cuda/benchmarks/bench_train_step}
models=("${@:2}")
((${#models[@]})) || models=(svae-star svae vaevae)
python=${PYTHON:-python3}
steps=${STEPS:-200}
limit=${SECONDS_EACH:-300}
modes=${MODES:-eager compile compile-reduce-overhead compile-max-autotune cudagraph compile-cudagraph
  cudagraph:--fuse:bank compile-cudagraph:--fuse:bank cudagraph:--cl:1 compile-cudagraph:--cl:1}
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# The peer names its models after the published code's files.
peer_of() {
  case $1 in
    svae-star) echo svae ;;
    svae) echo svae_paper ;;
    vaevae) echo vaevae ;;
    vaevae-star) echo vaevae_star ;;
    *) echo "compare_gpu: no model $1" >&2; return 2 ;;
  esac
}
ours() {  # MODEL -> milliseconds
  timeout "$limit" "$program" --device cuda --model "$1" --steps "$steps" --repeats 5 --json |
    sed -nE 's/.*"median":([0-9.]+).*/\1/p'
}
torch() {  # MODEL MODE:OPTIONS AMP -> milliseconds, or nothing if it failed or took too long
  local options=()
  IFS=: read -ra options <<<"$2"
  timeout "$limit" "$python" benchmarks/torch_peer.py --device cuda --data artificial --model "$1" \
    --mode "${options[@]}" --amp "$3" --bench "$steps" --repeats 5 >"$log" 2>&1 ||
    echo "PyTorch $1 $2 $3: $(tail -n 1 "$log")" >&2
  sed -nE 's/.*median ([0-9.]+) ms.*/\1/p' "$log"
}
ratio() {  # A B -> A / B
  awk -v a="${1:-0}" -v b="${2:-0}" 'BEGIN {if (a > 0 && b > 0) printf "%.2f", a / b; else printf "-"}'
}

echo "| model | program | arithmetic | ms a step | its time / poe's |"
echo "| --- | --- | --- | ---: | ---: |"
for model in "${models[@]}"; do
  peer=$(peer_of "$model")
  a=$(ours "$model")
  printf '| %s | poe | float32 | %.3f | 1 |\n' "$model" "$a"
  for amp in ${AMP:-none}; do
    best='' name=''
    for mode in $modes; do
      b=$(torch "$peer" "$mode" "$amp")
      printf '| %s | PyTorch %s | %s | %s | %s |\n' "$model" "${mode//:/ }" "${amp/none/float32}" \
        "${b:--}" "$(ratio "$b" "$a")"
      if [[ -n $b && (-z $best || $(awk -v x="$b" -v y="$best" 'BEGIN {print x < y}') == 1) ]]; then
        best=$b name=${mode//:/ }
      fi
    done
    printf '| %s | **fastest: %s** | %s | %s | %s |\n' "$model" "${name:-none}" "${amp/none/float32}" \
      "${best:--}" "$(ratio "$best" "$a")"
  done
  # Once more at the end: a GPU that changed its clock in between shows here.
  a=$(ours "$model")
  printf '| %s | poe again | float32 | %.3f | |\n' "$model" "$a"
done
