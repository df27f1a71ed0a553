#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# mnist_split as its users meet it: the files of a run, and what wrong input ends with.
# usage: mnist_split.sh PROGRAM
set -euo pipefail

program=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0
complain() { echo "FAILED: $*"; failures=$((failures + 1)); }

quick=(--limit 300 --batch 50 --threads 2 --oracle-cache "$work/cache" --importance-digits 5 --importance-samples 20)
run() { "$program" "${quick[@]}" "$@" >"$work/out" 2>"$work/err"; }

# expect_error NAME TEXT ARGUMENT...: exit status 2, one line on standard error, with TEXT in it.
expect_error() {
  local name=$1 text=$2 status=0
  shift 2
  run "$@" || status=$?
  ((status == 2)) || complain "$name: expected status 2, got $status"
  [[ $(wc -l <"$work/err") == 1 ]] || complain "$name: expected one line, got: $(cat "$work/err")"
  grep -qF -- "$text" "$work/err" || complain "$name: expected '$text', got: $(cat "$work/err")"
}

# A run writes what it promises.
run --model svae --epochs 2 --seed 3 --out "$work/svae" || complain "a run failed: $(cat "$work/err")"
for file in config.json metrics.jsonl summary.json reconstructions.png samples.png checkpoint.safetensors best.safetensors; do
  [[ -s $work/svae/$file ]] || complain "a run left no $file"
done
[[ $(wc -l <"$work/svae/metrics.jsonl") == 2 ]] || complain "expected 2 lines in metrics.jsonl"
for key in '"epoch":2' '"loss":' '"terms":' '"accuracy_both":' '"accuracy_top":' '"accuracy_bottom":' '"seconds":' '"samples_per_second":'; do
  sed -n 2p "$work/svae/metrics.jsonl" | grep -qF "$key" || complain "no $key in metrics.jsonl"
done
grep -q '"parameters": 4880394' "$work/svae/summary.json" || complain "summary.json: parameter count"
grep -q 'PROCEDURAL' "$work/out" || complain "a run without --data does not say so"
head -c 8 "$work/svae/samples.png" | cmp -s - <(printf '\x89PNG\r\n\x1a\n') || complain "samples.png is no PNG"
cp -r "$work/svae" "$work/kept"

# Wrong input: one sentence, status 2, nothing changed.
expect_error 'unknown flag' '--colour' --colour red --out "$work/x"
expect_error 'unknown model' 'vaevae-star' --model mvae --out "$work/x"
expect_error 'supervision' '--supervision' --supervision 0 --out "$work/x"
expect_error 'epochs' '--epochs' --epochs 0 --out "$work/x"
expect_error 'device' '--device cuda' --device cuda --out "$work/x"
expect_error 'math without a GPU' 'are for --device cuda' --math tf32 --out "$work/x"
expect_error 'no data' "$work/nowhere" --data "$work/nowhere" --out "$work/x"
mkdir "$work/bad"
for name in train-images-idx3-ubyte train-labels-idx1-ubyte t10k-images-idx3-ubyte t10k-labels-idx1-ubyte; do
  printf 'not digits' >"$work/bad/$name"
done
expect_error 'bad data' "$work/bad/train" --data "$work/bad" --out "$work/x"
expect_error 'occupied directory' '--resume' --model svae --seed 3 --out "$work/svae"
expect_error 'another seed' 'seed' --model svae --seed 4 --epochs 3 --resume --out "$work/svae"
expect_error 'another model' 'vaevae' --model vaevae --eval "$work/svae/best.safetensors" --out "$work/x"
expect_error 'no checkpoint' "$work/none" --eval "$work/none" --out "$work/x"
head -c 1000 "$work/svae/best.safetensors" >"$work/short.safetensors"
expect_error 'truncated checkpoint' "$work/short.safetensors" --model svae --eval "$work/short.safetensors" --out "$work/x"
[[ ! -e $work/x ]] || complain "a refused command left $work/x"
diff -r "$work/kept" "$work/svae" >/dev/null || complain "a refused command changed a run"

# Evaluation of a file gives the figures of the run; a finished run resumes to the same checkpoint.
run --model svae --seed 3 --eval "$work/svae/best.safetensors" --out "$work/again" || complain "--eval failed: $(cat "$work/err")"
same() { grep -F '"accuracy_' "$1/summary.json"; }
[[ $(same "$work/again") == "$(same "$work/svae")" ]] || complain "--eval gives other figures than the run"
run --model svae --epochs 2 --seed 3 --resume --out "$work/svae" || complain "--resume of a finished run failed: $(cat "$work/err")"
cmp -s "$work/kept/checkpoint.safetensors" "$work/svae/checkpoint.safetensors" || complain "--resume of a finished run changed it"

# The other models, one epoch each.
for model in svae-star vaevae vaevae-a vaevae-star; do
  run --model "$model" --preset official --supervision 0.1 --epochs 1 --out "$work/$model" || complain "$model: $(cat "$work/err")"
done

((failures == 0)) && echo "all checks passed"
((failures == 0))
