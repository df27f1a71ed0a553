#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What cub_captions alone has: published settings, errors of its figures, a page of captions and
# images, the split that is recorded, titles of a part of the data, word vectors that are kept. The
# rest is tested by pairs.sh.
# usage: cub_captions.sh PROGRAM TINY_DATA
# TINY_DATA is the program that writes a few samples in the format of the data set.
set -euo pipefail

program=$1 tiny_data=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0
complain() { echo "FAILED: $*"; failures=$((failures + 1)); }
has() { grep -qF -- "$2" "$1" || complain "$1 has no '$2'"; }
run() { "$program" --limit 120 --batch 40 --threads 2 --importance-samples 0 --oracle-cache "$work/kept" "$@" >"$work/out" 2>"$work/err"; }
expect_error() {
  local text=$1 status=0
  shift
  run "$@" --out "$work/x" || status=$?
  ((status == 2)) || complain "$text: expected status 2, got $status"
  has "$work/err" "$text"
}

# --- a run on stand-ins, with the settings of the paper ---

run --epochs 1 --preset official --out "$work/run" || complain "a run failed: $(cat "$work/err")"
tr -d ' \n' <"$work/run/config.json" >"$work/config"
for setting in '"lambda":[1.0,0.002]' '"prior-samples":1000' '"cca-components":40' '"cca-ridge":0.0' '"min-count":4' \
  '"feature-scale":1.0' '"split":"images"'; do
  has "$work/config" "$setting"
done
! grep -q 'word vectors: from' "$work/out" || complain "word vectors were there before they were learnt"
joint=$(grep -o '"correlation_joint":[^,}]*' "$work/run/metrics.jsonl" | cut -d: -f2)
grep -aqF "\"best_score\":\"$joint\"" "$work/run/best.safetensors" || complain "official: expected the joint correlation $joint to select"

# The difference of joint and shuffled, and the error of each figure.
number() { grep -o "\"$1\": [^,]*" "$work/run/summary.json" | cut -d' ' -f2; }
for figure in joint joint_shuffled joint_gain image_to_caption caption_to_image ground_truth shuffled; do
  awk -v se="$(number "correlation_${figure}_se")" 'BEGIN { exit !(se > 0 && se < 0.2) }' || complain "$figure: expected a standard error"
  grep -qE "^test correlation_$figure +-?0\.[0-9]{3} ± 0\.[0-9]{3}$" "$work/out" || complain "$figure is not printed with its error"
done
awk -v j="$(number correlation_joint)" -v s="$(number correlation_joint_shuffled)" -v g="$(number correlation_joint_gain)" \
  'BEGIN { d = j - s - g; exit !(d < 1e-9 && d > -1e-9) }' || complain "the gain is not the difference"

run --preset official --eval "$work/run/best.safetensors" --out "$work/again" || complain "--eval failed: $(cat "$work/err")"
grep -qF "word vectors: from $work/kept/word-vectors-" "$work/out" || complain "word vectors were not kept"
diff <(grep correlation "$work/run/summary.json") <(grep correlation "$work/again/summary.json") || complain "kept word vectors give other figures"

# --- a part of the data set: its title, its page, its split ---

"$tiny_data" "$work/data"
birds=(--data "$work/data" --cca-components 5 --cca-ridge 0.1 --min-count 40 --prior-samples 50)
run "${birds[@]}" --epochs 1 --out "$work/birds" || complain "a run on files failed: $(cat "$work/err")"
title='CUB-Captions (a part: 58 of 11,788 images with features and ten captions)'
has "$work/birds/summary.json" "\"title\": \"$title\""
has "$work/birds/summary.json" '"split": "published"'
page=$work/birds/pairs.html
has "$page" "<h1>svae on $title</h1>"
for head in 'image and caption' 'from the caption' 'from the image' 'from both'; do has "$page" "<th>$head</th>"; done
[[ $(grep -c '^<tr><td><figure>' "$page") == 8 ]] || complain "expected 8 pairs"
[[ $(grep '^<tr><td><figure>' "$page" | grep -o '<td class="made"><figure><img' | wc -l) == 24 ]] || complain "expected 8 pairs from the caption, the image and both"
[[ $(grep -c '^<figure><img' "$page") == 8 ]] || complain "expected 8 samples of the prior"
[[ $(sed -n 's/^<tr><td><figure><img alt="\(image [0-9]*\)".*/\1/p' "$page" | sort -u | wc -l) == 8 ]] || complain "an image is shown twice"
cut -f 6 "$work/data/cub/captions.tsv" >"$work/captions"
while read -r caption; do
  grep -qxF -- "$caption" "$work/captions" || complain "'$caption' is not a caption of the data"
done < <(sed -n 's/^<tr><td><figure>[^>]*><figcaption>\([^<]*\)<.*/\1/p' "$page")

birds+=(--eval "$work/birds/best.safetensors")
truncate -s 1T "$work/huge.txt"
expect_error "huge.txt': expected a vocabulary of at most" "${birds[@]}" --vocabulary "$work/huge.txt"
expect_error '--prior-samples' --prior-samples 1
[[ ! -e $work/x ]] || complain "a refused command left $work/x"

((failures == 0)) && echo "all checks passed"
((failures == 0))
