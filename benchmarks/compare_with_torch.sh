#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Training steps of this library and of tuned PyTorch, in turns on the same machine, and their ratio.
set -euo pipefail

if [[ ${1-} == -h || ${1-} == --help ]]; then
  cat <<'END'
usage: benchmarks/compare_with_torch.sh [ROUNDS [DATA_SET...]]

Needs build/cpu (cmake --preset cpu) and Debian's packages python3-torch python3-numpy libopenblas0-openmp. Prints,
for each data set (all: mnist_split mnist_svhn cub_captions), model and number of threads, the medians over ROUNDS
(default 3) alternating runs. The data are made up in the real shapes. Environment:

  STEPS    timed steps of a run (default: 40 on mnist_split, 15 on the others)
  PROGRAM  bench_train_step (build/cpu/benchmarks/bench_train_step)
END
  exit 0
fi
cd "$(dirname "${BASH_SOURCE[0]}")/.."
rounds=${1:-3}
data_sets=("${@:2}")
((${#data_sets[@]})) || data_sets=(mnist_split mnist_svhn cub_captions)
program=${PROGRAM:-build/cpu/benchmarks/bench_train_step}

# The two programs' settings for a model: "ours|PyTorch's". On MNIST-Split the models are those of the published
# code, after whose files the peer names them; elsewhere those of the paper.
models() {  # DATA_SET
  local model
  case $1 in
    mnist_split)
      for model in svae-star:svae svae:svae_paper vaevae:vaevae vaevae-star:vaevae_star; do
        echo "${model%:*} --preset official|torch_peer.py --data artificial --model ${model#*:} --cl 1 --up2 conv"
      done ;;
    mnist_svhn | cub_captions)
      for model in svae vaevae; do
        echo "$model --preset paper|torch_pairs.py --data-set $1 --model $model"
      done ;;
    *) echo "compare_with_torch: no data set $1" >&2; return 2 ;;
  esac
}

# PyTorch's best settings: AVX-512 kernels (OpenBLAS does not choose them on every processor that has them), an
# OpenBLAS that shares one thread pool with ATen and oneDNN, and memory that is kept from step to step, in large pages.
# Without them its step takes up to three times as long.
settings=(MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=100000000000 MALLOC_TOP_PAD_=100000000
  GLIBC_TUNABLES=glibc.malloc.hugetlb=1 LD_LIBRARY_PATH=/usr/lib/x86_64-linux-gnu/openblas-openmp)
if grep -q avx512bw /proc/cpuinfo; then
  settings+=(ATEN_CPU_CAPABILITY=avx512 OPENBLAS_CORETYPE=SkylakeX)
fi
torch() {  # "PROGRAM OPTIONS" STEPS THREADS -> milliseconds, MiB
  # shellcheck disable=SC2086
  env "${settings[@]}" OMP_NUM_THREADS="$3" OPENBLAS_NUM_THREADS="$3" /usr/bin/python3 -B benchmarks/$1 \
    --threads "$3" --bench "$2" --repeats 1 --adam single |
    sed -nE 's/.*\| median ([0-9.]+) ms\/step.*rss_MiB=([0-9.]+).*/\1 \2/p'
}
ours() {  # DATA_SET "MODEL OPTIONS" STEPS THREADS -> milliseconds, MiB
  # shellcheck disable=SC2086
  "$program" --data-set "$1" --model $2 --threads "$4" --steps "$3" --repeats 1 --json |
    sed -nE 's/.*"median":([0-9.]+).*"peak_rss_mib":([0-9.]+).*/\1 \2/p'
}
median() { sort -n | awk '{v[NR] = $1} END {print v[int((NR + 1) / 2)]}'; }

echo "| data | model | threads | poe ms | PyTorch ms | ratio | poe MiB | PyTorch MiB |"
echo "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |"
for data in "${data_sets[@]}"; do
  pairs=$(models "$data")
  steps=${STEPS:-$([[ $data == mnist_split ]] && echo 40 || echo 15)}
  while IFS='|' read -r own peer; do
    for threads in 1 2; do
      a=() b=() am=() bm=()
      for ((round = 0; round < rounds; ++round)); do
        read -r ms mib < <(ours "$data" "$own" "$steps" "$threads")
        a+=("$ms") am+=("$mib")
        read -r ms mib < <(torch "$peer" "$steps" "$threads")
        b+=("$ms") bm+=("$mib")
      done
      x=$(printf '%s\n' "${a[@]}" | median)
      y=$(printf '%s\n' "${b[@]}" | median)
      printf '| %s | %s | %d | %.1f | %.1f | %.2f | %.0f | %.0f |\n' "$data" "${own%% *}" "$threads" "$x" "$y" \
        "$(awk "BEGIN {print $x / $y}")" "$(printf '%s\n' "${am[@]}" | median)" "$(printf '%s\n' "${bm[@]}" | median)"
    done
  done <<<"$pairs"
done
