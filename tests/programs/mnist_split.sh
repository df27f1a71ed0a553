#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# A program on MNIST-Split as its users meet it: the files of a run, and what wrong input ends with.
# usage: mnist_split.sh PROGRAM PARAMETERS ACCURACY...
# PARAMETERS is the size of its SVAE; each accuracy_ACCURACY and no other is in its metrics, and that
# of the top chooses the best epoch.
set -euo pipefail

program=$1 parameters=$2
shift 2
accuracies=("$@")
parts=$((${#accuracies[@]} > 3 ? 3 : 2))
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0
complain() { echo "FAILED: $*"; failures=$((failures + 1)); }

quick=(--limit 300 --batch 50 --threads 2 --oracle-cache "$work/cache" --importance-rows 5 --importance-samples 20)
run() { "$program" "${quick[@]}" "$@" >"$work/out" 2>"$work/err"; }

# expect_error NAME TEXT ARGUMENT...: exit status 2 before an oracle is made, one line on standard
# error, which begins with "error: " and has TEXT in it.
expect_error() {
  local name=$1 text=$2 status=0
  shift 2
  run "$@" || status=$?
  ((status == 2)) || complain "$name: expected status 2, got $status"
  [[ $(wc -l <"$work/err") == 1 ]] || complain "$name: expected one line, got: $(cat "$work/err")"
  grep -q '^error: ' "$work/err" || complain "$name: no error: $(cat "$work/err")"
  grep -q '^oracle' "$work/out" && complain "$name: an oracle was made first"
  grep -qF -- "$text" "$work/err" || complain "$name: expected '$text', got: $(cat "$work/err")"
}
# shellcheck source=tests/programs/settings.sh
source "${BASH_SOURCE[0]%/*}/settings.sh"

# A run writes what it promises.
run --model svae --epochs 2 --seed 3 --out "$work/svae" || complain "a run failed: $(cat "$work/err")"
for file in config.json metrics.jsonl summary.json reconstructions.png samples.png checkpoint.safetensors best.safetensors; do
  [[ -s $work/svae/$file ]] || complain "a run left no $file"
done
[[ $(wc -l <"$work/svae/metrics.jsonl") == 2 ]] || complain "expected 2 lines in metrics.jsonl"
for key in '"epoch":2' '"loss":' '"terms":' '"seconds":' '"samples_per_second":'; do
  [[ $(sed -n 2p "$work/svae/metrics.jsonl") == *"$key"* ]] || complain "no $key in metrics.jsonl"
done
expected=$(printf '"accuracy_%s"\n' "${accuracies[@]}")
for found in "$(tail -n 1 "$work/svae/metrics.jsonl")" "$(cat "$work/svae/summary.json")"; do
  found=$(grep -o '"accuracy_[a-z_]*":' <<<"$found" | tr -d :)
  [[ $found == "$expected" ]] || complain "expected $expected, got $found"
done
best=$(grep -o '"accuracy_top":[0-9.]*' "$work/svae/metrics.jsonl" | cut -d: -f2 | sort -g | tail -n 1)
grep -aqF "\"best_score\":\"$best\"" "$work/svae/best.safetensors" ||
  complain "the best epoch is not that with an accuracy of $best from the top"
grep -q "\"parameters\": $parameters" "$work/svae/summary.json" || complain "summary.json: parameter count"
grep -q '"unpaired": "all"' "$work/svae/config.json" || complain "config.json: --unpaired auto is not resolved"
says "$work/svae/config.json" '"importance-samples":20' '"amsgrad":false' '"oracle-training":"quick"'
grep -q '"particles"' "$work/svae/config.json" && complain "config.json has options of other models"
grep -q 'PROCEDURAL' "$work/out" || complain "a run without --data does not say so"
head -c 8 "$work/svae/samples.png" | cmp -s - <(printf '\x89PNG\r\n\x1a\n') || complain "samples.png is no PNG"
cp -r "$work/svae" "$work/kept"

# Wrong input: one sentence, status 2, nothing changed.
expect_error 'unknown flag' 'not expected: --colour red (--help' --colour red --out "$work/x"
expect_error 'unknown model' 'vaevae-star' --model gan --out "$work/x"
expect_error 'option of another model' '--alpha is an option of --model jmvae and mvtcae; svae has none' --alpha 0.1 --out "$work/x"
expect_error 'flag of another model' '--learn-prior is an option of --model mmvae; vaevae has none' --model vaevae --learn-prior --out "$work/x"
expect_error 'unknown objective' '--objective' --model mmvae --objective best --out "$work/x"
expect_error 'unknown expert' '--expert' --model mmvae --expert cauchy --out "$work/x"
expect_error 'particles' '--particles' --model mmvae --particles 0 --out "$work/x"
expect_error 'alpha' 'mvtcae expects a share' --model mvtcae --alpha 1.5 --out "$work/x"
expect_error 'missing' '--missing: expected a probability in [0, 1), got 1' --missing 1 --out "$work/x"
expect_error 'missing and supervision' 'does not go with --supervision' --missing 0.5 --supervision 0.5 --out "$work/x"
expect_error 'nothing to learn from' '--missing 0.999: of 300 training samples none is left from which jmvae can learn' --model jmvae --missing 0.999 --out "$work/x"
expect_error 'warm-up' '--warm-up' --warm-up -1 --out "$work/x"
expect_error 'warm-up of particles' '--warm-up: the bounds of mmvae' --model mmvae --warm-up 1 --out "$work/x"
expect_error 'official mmvae' 'use --objective elbo-published --expert laplace' --model mmvae --preset official --out "$work/x"
expect_error 'official mvae' 'no published program of mvae' --model mvae --preset official --out "$work/x"
expect_error 'random subsets' "--random-subsets: $parts modalities have" --model mvae --random-subsets 4 --out "$work/x"
expect_error 'learning rate' '--lr: expected a finite number, got nan' --lr nan --out "$work/x"
expect_error 'infinite learning rate' '--lr' --lr inf --out "$work/x"
expect_error 'no weight' '--alpha' --model jmvae --alpha nan --out "$work/x"
expect_error 'large weight' '--alpha' --model jmvae --alpha 1e7 --out "$work/x"
expect_error 'no probability' '--missing' --missing nan --out "$work/x"
expect_error 'seed' '--seed: expected no negative number, got -1' --seed -1 --out "$work/x"
expect_error 'no directory' '--out' --out "$work/svae/config.json/x"
expect_error 'supervision' '--supervision' --supervision 0 --out "$work/x"
expect_error 'no supervision' '--supervision' --supervision nan --out "$work/x"
expect_error 'per cent' '--supervision: expected a share in (0, 1], got 10; 10 % is 0.1' --supervision 10 --out "$work/x"
expect_error 'beta of particles' '--beta: the bound of --objective dreg-looser has no divergences' --model mmvae --beta 2 --out "$work/x"
expect_error 'negative beta' '--beta: expected no negative number' --beta -1 --out "$work/x"
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
expect_error 'another seed' 'trained with --seed 3, not 4' --model svae --seed 4 --epochs 3 --resume --out "$work/svae"
expect_error 'another learning rate' 'trained with --lr 0.0002, not 0.001' --model svae --seed 3 --lr 1e-3 --epochs 3 --resume --out "$work/svae"
expect_error 'another beta' 'trained with --beta 1, not 2' --model svae --seed 3 --beta 2 --epochs 3 --resume --out "$work/svae"
expect_error 'another Adam' 'trained with --amsgrad false, not true' --model svae --seed 3 --amsgrad --epochs 3 --resume --out "$work/svae"
expect_error 'another selection' 'trained with --select accuracy_top, not last' --model svae --seed 3 --select last --epochs 3 --resume --out "$work/svae"
expect_error 'unknown figure' '--select: accuracy not in {accuracy_' --select accuracy --out "$work/x"
expect_error 'no such training' '--oracle-training published: only --oracle resnet18' --oracle-training published --out "$work/x"
expect_error 'another warm-up' 'trained with --warm-up 0, not 1' --model svae --seed 3 --warm-up 1 --epochs 3 --resume --out "$work/svae"
expect_error 'another model' 'trained with --model svae, not vaevae' --model vaevae --eval "$work/svae/best.safetensors" --out "$work/x"
expect_error 'another training' 'trained with --beta 1, not 3' --beta 3 --eval "$work/svae" --out "$work/x"
expect_error 'another seed than the file' 'trained with --seed 3, not 4' --seed 4 --eval "$work/svae" --out "$work/x"
expect_error 'a directory of no run' "there is no file '$work/bad/best.safetensors'" --eval "$work/bad" --out "$work/x"
expect_error 'no checkpoint' "$work/none" --eval "$work/none" --out "$work/x"
head -c 1000 "$work/svae/best.safetensors" >"$work/short.safetensors"
expect_error 'truncated checkpoint' "$work/short.safetensors" --model svae --eval "$work/short.safetensors" --out "$work/x"
LC_ALL=C sed 's/"program":"mnist_s/"program":"mnist_x/' "$work/svae/best.safetensors" >"$work/other.safetensors"
expect_error 'another program' 'trained with the program mnist_xplit' --model svae --eval "$work/other.safetensors" --out "$work/x"
[[ ! -e $work/x ]] || complain "a refused command left $work/x"
diff -r "$work/kept" "$work/svae" >/dev/null || complain "a refused command changed a run"

# Evaluation of a file gives the figures of the run; a finished run resumes to the same checkpoint.
run --eval "$work/svae/best.safetensors" --out "$work/again" || complain "--eval failed: $(cat "$work/err")"
same() { grep -F '"accuracy_' "$1/summary.json"; }
[[ $(same "$work/again") == "$(same "$work/svae")" ]] || complain "--eval gives other figures than the run"
grep -q '^trained on procedural:[0-9a-f]*, evaluated on procedural:' "$work/out" || complain "--eval does not say what it was trained on"
[[ ! -s $work/err ]] || complain "--eval on the data of the run: $(cat "$work/err")"
# What a file is of is in it: a run's directory, without its options, has the record of the run.
plain=(--threads 2 --oracle-cache "$work/cache" --importance-rows 5 --importance-samples 20)
"$program" --model vaevae --preset official --beta 0.5 --lr 1e-3 --supervision 0.5 --seed 9 --epochs 1 "${quick[@]}" \
  --out "$work/settings" >"$work/out" 2>"$work/err" || complain "settings: $(cat "$work/err")"
"$program" "${plain[@]}" --eval "$work/settings" --out "$work/from_file" >"$work/out" 2>"$work/err" || complain "--eval of a directory: $(cat "$work/err")"
[[ $(same "$work/from_file") == "$(same "$work/settings")" ]] || complain "--eval of a directory gives other figures than the run"
says "$work/from_file/summary.json" '"model":"vaevae"' '"preset":"official"' '"beta":0.5' '"lr":0.001' '"supervision":0.5' \
  '"seed":9' '"batch":50' '"limit":300' '"epoch":1' '"unpaired":"all"'
grep -q '"epochs"' "$work/from_file/summary.json" && complain "--eval says how many epochs it would have trained"
LC_ALL=C sed 's/"data":"procedural/"data":"procedurex/' "$work/settings/best.safetensors" >"$work/elsewhere.safetensors"
run --eval "$work/elsewhere.safetensors" --out "$work/elsewhere" || complain "--eval on other data: $(cat "$work/err")"
grep -q '^warning: these are not the data' "$work/err" || complain "--eval on other data without a warning"
grep -q '"trained_on": "procedurex:' "$work/elsewhere/summary.json" || complain "summary.json does not say what it was trained on"
# Without options, the recipe is that of the paper and K is 1000.
lambda=$(printf ',1.0%.0s' $(seq $parts))
"$program" --limit 300 --epochs 1 --importance-rows 1 --oracle-cache "$work/cache" --out "$work/recipe" \
  >"$work/out" 2>"$work/err" || complain "the recipe: $(cat "$work/err")"
says "$work/recipe/summary.json" '"model":"svae"' '"preset":"paper"' '"batch":100' '"lr":0.0002' '"amsgrad":false' \
  "\"lambda\":[${lambda#,}]" '"supervision":1.0' '"beta":1.0' '"warm-up":0' '"importance-samples":1000' '"select":"accuracy_top"' \
  '"unpaired":"all"' '"oracle":"small"'
run --model svae --epochs 2 --seed 3 --resume --out "$work/svae" || complain "--resume of a finished run failed: $(cat "$work/err")"
cmp -s "$work/kept/checkpoint.safetensors" "$work/svae/checkpoint.safetensors" || complain "--resume of a finished run changed it"

# The other models, one epoch each, with options that config.json repeats.
while read -r model options; do
  # shellcheck disable=SC2086
  run --model "$model" $options --supervision 0.1 --epochs 1 --out "$work/$model" || complain "$model: $(cat "$work/err")"
  for option in $options; do
    [[ $option != --* ]] || grep -q "\"${option#--}\": " "$work/$model/config.json" || complain "$model: config.json has no $option"
  done
done <<END
svae-star --preset official
vaevae --preset official
vaevae-a --preset official
vaevae-star --preset official
jmvae --alpha 1 --warm-up 1
mvae --random-subsets $((parts - 2)) --unpaired all
bridge
mopoe
mvtcae --alpha 0.5
mmvae --objective elbo --particles 1
END
for model in jmvae mvae mopoe mvtcae mmvae; do
  pool=only-unpaired
  [[ $model != mvae ]] || pool=all
  grep -q "\"unpaired\": \"$pool\"" "$work/$model/config.json" || complain "$model: expected to draw from $pool"
done
# The moments of AMSGrad are part of the run, and another figure may choose the best epoch.
other=(--model vaevae-a --amsgrad --select "accuracy_${accuracies[0]}" --seed 5)
run "${other[@]}" --epochs 2 --out "$work/whole" || complain "--amsgrad: $(cat "$work/err")"
run "${other[@]}" --epochs 1 --out "$work/two" || complain "--amsgrad, one epoch: $(cat "$work/err")"
run "${other[@]}" --epochs 2 --resume --out "$work/two" || complain "--amsgrad --resume: $(cat "$work/err")"
cmp -s "$work/whole/checkpoint.safetensors" "$work/two/checkpoint.safetensors" || complain "--amsgrad: a resumed run differs"
grep -aqF '"optimizer.max_exp_avg_sq.decoders.top.0.weight"' "$work/two/checkpoint.safetensors" || complain "no moments of AMSGrad"
best=$(grep -o "\"accuracy_${accuracies[0]}\":[0-9.]*" "$work/whole/metrics.jsonl" | cut -d: -f2 | sort -g | tail -n 1)
grep -aqF "\"best_score\":\"$best\"" "$work/whole/best.safetensors" || complain "--select: $best is not the best score"
run --model vaevae-a --select last --epochs 2 --out "$work/last" || complain "--select last: $(cat "$work/err")"
grep -aqF '"epoch":"2"' "$work/last/best.safetensors" || complain "--select last: another epoch"
run --model svae --missing 0.3 --epochs 1 --out "$work/missing" || complain "--missing: $(cat "$work/err")"
grep -q '"missing": 0.3' "$work/missing/config.json" || complain "config.json does not say what is missing"
laplace=(--model mmvae --expert laplace --learn-prior --particles 2 --epochs 1)
run "${laplace[@]}" --out "$work/laplace" || complain "mmvae with Laplace experts: $(cat "$work/err")"
expect_error 'another distribution' 'trained with --expert laplace, not gaussian' --expert gaussian --eval "$work/laplace" --out "$work/y"
expect_error 'another prior' 'trained with --learn-prior true, not false' --learn-prior=false --eval "$work/laplace" --out "$work/y"
# MMVAE as the paper's authors trained it, where it is offered.
if [[ $("$program" --help) == *--networks* ]]; then
  published=(--model mmvae --networks mmvae-published --expert laplace --objective elbo-published --particles 1)
  run "${published[@]}" --amsgrad --lr 1e-3 --epochs 1 --out "$work/published" || complain "--networks: $(cat "$work/err")"
  says "$work/published/summary.json" '"parameters":2332282' '"networks":"mmvae-published"'
  expect_error 'networks of another model' '--networks mmvae-published: they are those of' --networks mmvae-published --out "$work/y"
  expect_error 'other networks' 'trained with --networks mmvae-published, not own' --networks own \
    --eval "$work/published/best.safetensors" --out "$work/y"
fi
run --model svae --eval "$work/svae/checkpoint.safetensors" --out "$work/checkpoint" || complain "--eval of a whole checkpoint failed: $(cat "$work/err")"
quick[5]=1  # thread
run --model svae --eval "$work/svae/best.safetensors" --out "$work/one" || complain "one thread: $(cat "$work/err")"
grep -q 'parameters, 1 thread$' "$work/out" || complain "one thread: $(cat "$work/out")"

((failures == 0)) && echo "all checks passed"
((failures == 0))
