#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# A program with a model of its own: it is trained and evaluated by its name, and compare trains it
# beside the paper's.
# usage: own_model.sh PROGRAM [COMPARE]
set -euo pipefail

program=$1 compare=${2:-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0
complain() { echo "FAILED: $*"; failures=$((failures + 1)); }
quick=(--limit 200 --epochs 1 --batch 50 --threads 2 --importance-samples 0 --oracle-cache "$work/cache")

"$program" --help >"$work/help"
grep -qF 'mvtcae, corrected' "$work/help" || complain "--help does not list the model"
"$program" --model correct --out "$work/x" 2>"$work/err" && complain "an unknown model was taken"
grep -qF "mvtcae, corrected; got 'correct'" "$work/err" || complain "$(cat "$work/err")"
"$program" --model corrected "${quick[@]}" --out "$work/run" >"$work/out" || complain "a run failed: $(tail -n 1 "$work/out")"
grep -qF '"encoders.top_bottom.head.0.weight"' -a "$work/run/best.safetensors" || complain "it is another model"
"$program" --eval "$work/run" --out "$work/again" --oracle-cache "$work/cache" --importance-samples 0 >"$work/out" || complain "--eval failed"
grep -qF 'model: corrected (paper preset)' "$work/out" || complain "--eval does not know the model"
diff <(grep '"accuracy_' "$work/run/summary.json") <(grep '"accuracy_' "$work/again/summary.json") || complain "--eval gives other figures"
if [[ -n $compare ]]; then
  "$compare" --program "$program" --models svae,corrected --supervision 1 --seeds 1 --out "$work/compared" -- "${quick[@]}" >"$work/out" ||
    complain "compare failed: $(tail -n 1 "$work/out")"
  grep -q '^corrected,1,accuracy_both,1,' "$work/compared/results.csv" || complain "results.csv has no figures of the model"
fi

((failures == 0)) && echo "all checks passed"
((failures == 0))
