#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# mnist_svhn and cub_captions as their users meet them: the files of a run, and what wrong input ends
# with. What all trainers have in common is tested with mnist_split.
# usage: pairs.sh PROGRAM PARAMETERS SELECTION FILES FIGURES [OPTION...]
# PARAMETERS is the size of its SVAE on embedded data, SELECTION the figure that chooses the best
# epoch; FILES are left by a run besides those of every trainer, FIGURES are in its summary.
set -euo pipefail

program=$1 parameters=$2 selection=$3 files=$4 figures=$5
shift 5
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0
complain() { echo "FAILED: $*"; failures=$((failures + 1)); }

quick=(--limit 120 --batch 40 --threads 2 --importance-rows 3 --importance-samples 10 --prior-samples 100 "$@")
run() { "$program" "${quick[@]}" "$@" >"$work/out" 2>"$work/err"; }
expect_error() {
  local name=$1 text=$2 status=0
  shift 2
  run "$@" || status=$?
  ((status == 2)) || complain "$name: expected status 2, got $status"
  [[ $(wc -l <"$work/err") == 1 ]] || complain "$name: expected one line, got: $(cat "$work/err")"
  grep -q '^error: ' "$work/err" || complain "$name: no error: $(cat "$work/err")"
  grep -qF -- "$text" "$work/err" || complain "$name: expected '$text', got: $(cat "$work/err")"
}

run --model svae --epochs 2 --supervision 0.5 --seed 3 --out "$work/svae" || complain "a run failed: $(cat "$work/err")"
for file in config.json metrics.jsonl summary.json checkpoint.safetensors best.safetensors $files; do
  [[ -s $work/svae/$file ]] || complain "a run left no $file"
done
for figure in $figures; do
  grep -q "\"$figure\": -\?[0-9]" "$work/svae/summary.json" || complain "summary.json has no $figure"
done
grep -q "\"parameters\": $parameters" "$work/svae/summary.json" || complain "summary.json: parameter count"
grep -q 'PROCEDURAL' "$work/out" || complain "a run without --data does not say so"
best=$(grep -o "\"$selection\":[^,}]*" "$work/svae/metrics.jsonl" | cut -d: -f2 | sort -g | tail -n 1)
grep -aqF "\"best_score\":\"$best\"" "$work/svae/best.safetensors" ||
  complain "the best epoch is not that with a $selection of $best"
grep -q '"log_p(.*|.*)": {' "$work/svae/summary.json" || complain "no conditional log-likelihood in summary.json"

# Evaluation of a file gives the figures of the run, and a run goes on where it stopped.
same() { grep -E "\"(${figures// /|})\"" "$1/summary.json"; }
run --model svae --seed 3 --supervision 0.5 --eval "$work/svae/best.safetensors" --out "$work/again" || complain "--eval failed: $(cat "$work/err")"
[[ $(same "$work/again") == "$(same "$work/svae")" ]] || complain "--eval gives other figures than the run"
run --model svae --epochs 1 --supervision 0.5 --seed 3 --out "$work/two" || complain "one epoch failed: $(cat "$work/err")"
run --model svae --epochs 2 --supervision 0.5 --seed 3 --resume --out "$work/two" || complain "--resume failed: $(cat "$work/err")"
cmp -s "$work/two/checkpoint.safetensors" "$work/svae/checkpoint.safetensors" || complain "a resumed run differs from one that was not stopped"

for options in '--model vaevae' '--model mvae --unpaired all' '--model jmvae --lambda 1,0.5' \
  '--model mmvae --expert laplace --learn-prior --particles 2'; do
  # shellcheck disable=SC2086
  run $options --epochs 1 --supervision 0.3 --out "$work/${options//[^a-z]/}" || complain "$options: $(cat "$work/err")"
done

# Where there are words, a model is evaluated on its own, and on its own features and split.
if [[ -e $work/svae/vocabulary.txt ]]; then
  best=(--model svae --seed 3 --supervision 0.5 --eval "$work/svae/best.safetensors")
  run "${best[@]}" --vocabulary "$work/svae/vocabulary.txt" --out "$work/words" || complain "--vocabulary failed: $(cat "$work/err")"
  [[ $(same "$work/words") == "$(same "$work/svae")" ]] || complain "--vocabulary gives other figures than the run"
  expect_error 'other words' 'trained with a vocabulary of 100 words' "${best[@]}" --min-count 400 --out "$work/x"
  expect_error 'other features' 'trained with --feature-scale 1.0, not 2.0' "${best[@]}" --feature-scale 2 --out "$work/x"
  expect_error 'another split' 'trained with --split published, not images' "${best[@]}" --split images --out "$work/x"
  expect_error 'no vocabulary' 'config.json, line 1' --vocabulary "$work/svae/config.json" --out "$work/x"
else
  expect_error 'no oracles' "--oracles: there is no file '$work/mnist_classifier.safetensors'" --oracles "$work" --out "$work/x"
fi

expect_error 'no data' "$work/nowhere" --data "$work/nowhere" --out "$work/x"
expect_error 'weights' '--lambda: expected a weight for each of 2 modalities, got 3' --lambda 1,1,1 --out "$work/x"
expect_error 'negative weight' '--lambda' --lambda 1,-1 --out "$work/x"
expect_error 'occupied directory' '--resume' --model svae --seed 3 --out "$work/svae"
[[ ! -e $work/x ]] || complain "a refused command left $work/x"

((failures == 0)) && echo "all checks passed"
((failures == 0))
