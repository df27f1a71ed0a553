#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# mnist_svhn and cub_captions as their users meet them: every model on data files, the files of a run,
# and what wrong or damaged input ends with. What all trainers have in common is tested with
# mnist_split.
# usage: pairs.sh PROGRAM TINY_DATA PARAMETERS SELECTION FILES FIGURES [OPTION...]
# TINY_DATA writes the data; PARAMETERS is the size of the SVAE, SELECTION the figure that chooses the
# best epoch; FILES are left by a run besides those of every trainer, FIGURES are in its summary.
set -euo pipefail

program=$1 tiny_data=$2 parameters=$3 selection=$4 files=$5 figures=$6
shift 6
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0
complain() { echo "FAILED: $*"; failures=$((failures + 1)); }

data=$work/data
"$tiny_data" "$data"
quick=(--batch 40 --threads 2 --prior-samples 100 "$@")
whole=(--limit 120 --importance-rows 3 --importance-samples 10) short=(--limit 40 --importance-samples 0)
size=("${whole[@]}")
start() { "$program" "${quick[@]}" "${size[@]}" "$@" >"$work/out" 2>"$work/err"; }
run() { start --data "$data" "$@"; }
# expect_error NAME TEXT ARGUMENT...
expect_error() {
  local name=$1 text=$2 status=0
  shift 2
  start "$@" --out "$work/x" || status=$?
  ((status == 2)) || complain "$name: expected status 2, got $status"
  [[ $(wc -l <"$work/err") == 1 ]] || complain "$name: expected one line, got: $(cat "$work/err")"
  grep -q '^error: ' "$work/err" || complain "$name: no error: $(cat "$work/err")"
  grep -qF -- "$text" "$work/err" || complain "$name: expected '$text', got: $(cat "$work/err")"
}
bytes() { od -An -tx1 -v | tr -d ' \n'; }

# check_files DIR: all files of a run are there, and its pictures are whole PNGs
check_files() {
  local file pictures
  for file in config.json metrics.jsonl summary.json checkpoint.safetensors best.safetensors $files; do
    [[ -s $1/$file ]] || complain "$1 has no $file"
  done
  for file in "$1"/*.png; do
    [[ -e $file ]] || continue
    [[ $(head -c 8 "$file" | bytes) == 89504e470d0a1a0a && $(tail -c 8 "$file" | bytes) == 49454e44ae426082 ]] ||
      complain "$file is no whole PNG"
  done
  [[ -e $1/pairs.html ]] || return 0
  # Eight held-out pairs and three made of each; eight that are drawn. In base64, a PNG begins so.
  pictures=$(grep -o 'src="data:image/png;base64,iVBORw0KGgo' "$1/pairs.html" | wc -l)
  [[ $pictures == 40 ]] || complain "$1/pairs.html: expected 40 pictures, got $pictures"
  [[ $(grep -c '^<tr><td><figure>' "$1/pairs.html") == 8 ]] || complain "$1/pairs.html: expected 8 rows of pairs"
}

# --- a run ----------------------------------------------------------------------------------------

run --model svae --epochs 2 --supervision 0.5 --seed 3 --out "$work/svae" || complain "a run failed: $(cat "$work/err")"
check_files "$work/svae"
for figure in $figures; do
  grep -q "\"$figure\": -\?[0-9]" "$work/svae/summary.json" || complain "summary.json has no $figure"
done
grep -q "\"parameters\": $parameters" "$work/svae/summary.json" || complain "summary.json: parameter count"
! grep -q 'PROCEDURAL' "$work/out" || complain "a run on files calls its data procedural"
grep -q "\"select\": \"$selection\"" "$work/svae/config.json" || complain "the best epoch is not chosen by $selection"
# "EPOCH SCORE" of the first epoch that no other exceeds, in the log and in the file of the best
best=$(awk -v name="\"$selection\":" '{
    at = index($0, name)
    score = substr($0, at + length(name)) + 0
    if (at == 0) exit
    if (NR == 1 || score > most) { most = score; epoch = NR }
  } END { printf "%d %.6g", epoch, most }' "$work/svae/metrics.jsonl")
kept() { grep -ao "\"$1\":\"[^\"]*\"" "$work/svae/best.safetensors" | cut -d'"' -f4; }
[[ $(awk -v score="$(kept best_score)" -v epoch="$(kept epoch)" 'BEGIN { printf "%d %.6g", epoch, score }') == "$best" ]] ||
  complain "the best epoch is not that with the largest $selection: $best"
grep -q '"log_p(.*|.*)": {' "$work/svae/summary.json" || complain "no conditional log-likelihood in summary.json"

# Evaluation of a file gives the figures of the run, and a run goes on where it stopped.
same() { grep -E "\"(${figures// /|})\"" "$1/summary.json"; }
run --model svae --seed 3 --supervision 0.5 --eval "$work/svae/best.safetensors" --out "$work/again" || complain "--eval failed: $(cat "$work/err")"
[[ $(same "$work/again") == "$(same "$work/svae")" ]] || complain "--eval gives other figures than the run"
run --model svae --epochs 1 --supervision 0.5 --seed 3 --out "$work/two" || complain "one epoch failed: $(cat "$work/err")"
run --model svae --epochs 2 --supervision 0.5 --seed 3 --resume --out "$work/two" || complain "--resume failed: $(cat "$work/err")"
cmp -s "$work/two/checkpoint.safetensors" "$work/svae/checkpoint.safetensors" || complain "a resumed run differs from one that was not stopped"

# --- every model ----------------------------------------------------------------------------------

size=("${short[@]}")
for options in svae-star vaevae vaevae-a vaevae-star 'jmvae --lambda 1,0.5' 'mvae --unpaired all' bridge \
  'mmvae --expert laplace --learn-prior --particles 2' mopoe mvtcae; do
  # shellcheck disable=SC2086
  run --model $options --epochs 1 --supervision 0.3 --out "$work/${options%% *}" ||
    complain "$options: $(cat "$work/err")"
  check_files "$work/${options%% *}"
done
models=$("$program" --help | grep -o 'svae, .*' | tr -d ,)
[[ $(wc -w <<<"$models") == 11 ]] || complain "expected 11 models in --help, got: $models"
for model in $models; do
  grep -q "\"model\": \"$model\"" "$work/$model/config.json" || complain "$model was not trained here"
done

# --- data that the program draws, and files that are not what they were ---------------------------

# expect_damage FILE TEXT COMMAND...: the command spoils the file in a copy of the data; the error has
# TEXT and names the file or, where that is gone, its folder
expect_damage() {
  local file=$work/damaged/$1 text=$2 named
  shift 2
  rm -rf "$work/damaged"
  cp -r "$data" "$work/damaged"
  "$@" "$file"
  named=$file
  [[ -e $file ]] || named=${file%/*}
  expect_error "damaged $file" "$text" --data "$work/damaged"
  grep -qF "'$named'" "$work/err" || complain "expected '$named', got: $(cat "$work/err")"
}

stand_ins=()
case ${program##*/} in
  mnist_svhn)
    stand_ins=(--oracles "$data/classifiers")
    grep -Eq '^oracle: svhn, .*\((trained in|from .*oracle-svhn-)' "$work/out" || complain "no oracle was trained"
    expect_damage svhn/train_32x32.mat 'byte 5000: expected 61440 bytes (values), got 4800' truncate -s 5000
    expect_damage svhn/test_32x32.mat 'byte 124: expected a MATLAB 5 file, got version 7.3' sed -i '1s/\x00\x01IM/\x00\x02IM/'
    expect_damage mnist/t10k-labels-idx1-ubyte 'byte 8: expected 40 values, got 2' truncate -s 10
    expect_damage mnist/train-images-idx3-ubyte 'byte 16: expected 47040 values, got 39984' truncate -s 40000
    expect_damage svhn/test_32x32.mat 'no file test_32x32.mat in' rm
    expect_error 'no oracles' "--oracles: there is no file '$work/mnist_classifier.safetensors'" --oracles "$work"
    ;;
  cub_captions)
    # A model is evaluated on its own words, and on its own features and split.
    size=("${whole[@]}")
    best=(--data "$data" --model svae --seed 3 --supervision 0.5 --eval "$work/svae/best.safetensors")
    start "${best[@]}" --vocabulary "$work/svae/vocabulary.txt" --out "$work/words" || complain "--vocabulary failed: $(cat "$work/err")"
    [[ $(same "$work/words") == "$(same "$work/svae")" ]] || complain "--vocabulary gives other figures than the run"
    words=$(($(wc -l <"$work/svae/vocabulary.txt") - 4))
    expect_error 'other words' "trained with a vocabulary of $words words" "${best[@]}" --min-count 40
    expect_error 'other features' 'trained with --feature-scale 1.0, not 2.0' "${best[@]}" --feature-scale 2
    expect_error 'another split' 'trained with --split published, not images' "${best[@]}" --split images
    expect_error 'no vocabulary' "line 1: expected 'poe vocabulary 1'" --data "$data" --vocabulary "$work/svae/config.json"
    size=("${short[@]}")
    expect_damage cub/captions.tsv "line 3: expected test or trainval, got 'train'" sed -i '3s/trainval/train/'
    expect_damage cub/image_keys.txt 'line 2: expected a key such as' sed -i '2s/.*/Shape/'
    expect_damage cub/image_features.npy 'byte 128: expected 30208 values, got 218' truncate -s 1000
    expect_damage cub/image_keys.txt 'CUB: no image_keys.txt in' rm
    ;;
esac
start --model svae --epochs 1 "${stand_ins[@]}" --out "$work/drawn" || complain "no run without --data: $(cat "$work/err")"
grep -q 'PROCEDURAL' "$work/out" || complain "a run without --data does not say so"
check_files "$work/drawn"

expect_error 'no data' "$work/nowhere" --data "$work/nowhere"
expect_error 'weights' '--lambda: expected a weight for each of 2 modalities, got 3' --lambda 1,1,1
expect_error 'negative weight' '--lambda' --lambda 1,-1
status=0
run --model svae --seed 3 --out "$work/svae" || status=$?
((status == 2)) || complain "a directory with another run was taken"
grep -qF -- '--resume' "$work/err" || complain "a directory with another run: $(cat "$work/err")"
[[ ! -e $work/x ]] || complain "a refused command left $work/x"

((failures == 0)) && echo "all checks passed"
((failures == 0))
