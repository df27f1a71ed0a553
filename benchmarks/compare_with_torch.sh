#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Training steps of this library and of tuned PyTorch, in turns on the same machine, and their ratio.
set -euo pipefail

if [[ ${1-} == -h || ${1-} == --help ]]; then
  cat <<'END'
usage: benchmarks/compare_with_torch.sh [DATA_DIR] [ROUNDS]

Needs build/cpu (cmake --preset cpu), the four MNIST files uncompressed in DATA_DIR (scripts/get-data mnist)
and Debian's packages python3-torch python3-numpy libopenblas0-openmp. Prints, for each model and number of
threads, the medians over ROUNDS (default 3) alternating runs of 40 steps.
END
  exit 0
fi
cd "$(dirname "${BASH_SOURCE[0]}")/.."
data=${1:-data/mnist}
rounds=${2:-3}

# PyTorch's best settings: AVX-512 kernels, and an OpenBLAS that shares one thread pool with ATen and oneDNN.
# Without them its step takes up to three times as long.
torch() {  # MODEL THREADS -> milliseconds, MiB
  env -u OPENBLAS_CORETYPE ATEN_CPU_CAPABILITY=avx512 OMP_NUM_THREADS="$2" OPENBLAS_NUM_THREADS="$2" \
    LD_LIBRARY_PATH=/usr/lib/x86_64-linux-gnu/openblas-openmp \
    /usr/bin/python3 benchmarks/torch_peer.py --data "$data" --threads "$2" --model "$1" --bench 40 --repeats 1 \
    --cl 1 --adam single | sed -nE 's/.*median ([0-9.]+) ms.*rss_MiB=([0-9.]+).*/\1 \2/p'
}
ours() {
  build/cpu/benchmarks/bench_train_step --model "$1" --threads "$2" --steps 40 --repeats 1 --json |
    sed -nE 's/.*"median":([0-9.]+).*"peak_rss_mib":([0-9.]+).*/\1 \2/p'
}
median() { sort -n | awk '{v[NR] = $1} END {print v[int((NR + 1) / 2)]}'; }

echo "| model | threads | poe ms | PyTorch ms | ratio | poe MiB | PyTorch MiB |"
echo "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"
# The peer names its models after the published code's files.
for pair in svae-star:svae svae:svae_paper vaevae:vaevae vaevae-star:vaevae_star; do
  for threads in 1 2; do
    a=() b=() am=() bm=()
    for ((round = 0; round < rounds; ++round)); do
      read -r ms mib < <(ours "${pair%:*}" "$threads")
      a+=("$ms") am+=("$mib")
      read -r ms mib < <(torch "${pair#*:}" "$threads")
      b+=("$ms") bm+=("$mib")
    done
    x=$(printf '%s\n' "${a[@]}" | median)
    y=$(printf '%s\n' "${b[@]}" | median)
    printf '| %s | %d | %.1f | %.1f | %.2f | %.0f | %.0f |\n' "${pair%:*}" "$threads" "$x" "$y" \
      "$(awk "BEGIN {print $x / $y}")" "$(printf '%s\n' "${am[@]}" | median)" "$(printf '%s\n' "${bm[@]}" | median)"
  done
done
