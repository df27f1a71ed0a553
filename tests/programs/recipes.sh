#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What mnist_svhn and cub_captions train with when nothing else is said: the recipe of the paper.
# usage: recipes.sh PROGRAM TINY_DATA [OPTION...]
set -euo pipefail

program=$1 tiny_data=$2
shift 2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0
complain() { echo "FAILED: $*"; failures=$((failures + 1)); }
data=$work/data
"$tiny_data" "$data"

# config MODEL OPTION...: the settings of a run of one epoch, in $work/MODEL/config.json
config() {
  local model=$1
  shift
  "$program" --data "$data" --limit 40 --epochs 1 --threads 2 --importance-samples 0 --model "$model" "$@" \
    --out "$work/$model" >"$work/out" 2>"$work/err" || complain "$model: $(cat "$work/err")"
}
# shellcheck source=tests/programs/settings.sh
source "${BASH_SOURCE[0]%/*}/settings.sh"

config svae "$@"
says "$work/svae/config.json" '"preset":"paper"' '"lr":0.0001' '"amsgrad":false' '"prior-samples":1000' '"supervision":1.0'
"$program" --help >"$work/help"
grep -q -- '--importance-samples .*=1000$' "$work/help" || complain "K is not 1000 by default"
case ${program##*/} in
  mnist_svhn)
    says "$work/svae/config.json" '"batch":256' '"lambda":[1.0,1.0]' '"repeats":30' '"likelihood":"bernoulli"' \
      '"select":"coherence_joint_kappa"' '"oracle-training":"quick"'
    config vaevae "$@"
    says "$work/vaevae/config.json" '"lr":0.001'
    config vaevae-star "$@"
    says "$work/vaevae-star/config.json" '"lr":0.001'
    # As published: another learning rate, and the figure that is 1 for samples that are all alike.
    config vaevae-a "$@"
    says "$work/vaevae-a/config.json" '"lr":0.001'
    config svae-star --preset official "$@"
    says "$work/svae-star/config.json" '"lr":0.0001' '"select":"coherence_joint"'
    # MMVAE as its authors trained it.
    config mmvae --likelihood laplace --expert laplace --learn-prior --objective dreg-looser --particles 2 \
      --lambda "3.918367,1" --amsgrad --select last "$@"
    says "$work/mmvae/config.json" '"lr":0.001' '"likelihood":"laplace"' '"amsgrad":true' '"select":"last"' '"lambda":[3.918367,1.0]'
    ;;
  cub_captions)
    says "$work/svae/config.json" '"batch":100' '"lambda":[1.0,0.002]' '"select":"correlation_joint_gain"' '"cca-components":40'
    config vaevae "$@"
    says "$work/vaevae/config.json" '"lr":0.0001'
    config svae-star --preset official "$@"
    says "$work/svae-star/config.json" '"select":"correlation_joint"'
    ;;
  *) complain "unknown program $program" ;;
esac

((failures == 0)) && echo "the recipes are those of the paper"
exit $((failures > 0))
