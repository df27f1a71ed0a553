#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# scripts/reproduce with trainers that take no time: data that are missing, runs that are shared, that
# fail and that go on, and what is written about all of them.
# usage: reproduce.sh SCRIPT COMPARE
set -euo pipefail

script=$(realpath "$1") compare=$(realpath "$2")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
unset POE_DATA
failures=0
complain() { echo "FAILED: $*"; failures=$((failures + 1)); }
has() { grep -qF -- "$2" "$1" || complain "$1 has no '$2'"; }

# One trainer under the names of four. ./how says what becomes of a program or of a model.
mkdir programs
ln -s "$compare" programs/compare
cat >programs/mnist_split <<'END'
#!/usr/bin/env bash
set -euo pipefail
program=${0##*/}
words="$*"
while (($#)); do
  case $1 in
    --model) model=$2; shift 2 ;;
    --out) out=$2; shift 2 ;;
    *) shift ;;
  esac
done
trap 'exit 130' INT
echo "$program $words" >>starts
how=$(cat how 2>/dev/null || true)
if [[ $how == "refuse $program" ]]; then
  echo "error: <$program> will not" >&2
  exit 2
fi
mkdir -p "$out"
if [[ $how == "fail $model" ]]; then
  echo 'error: diverged' >&2
  exit 1
fi
if [[ $how == "wait $model" ]]; then
  touch waiting
  for ((i = 0; i < 400; i++)); do sleep 0.05; done
fi
case $program in
  mnist_split) figures='"accuracy_both": 0.1, "accuracy_top": 0.2, "accuracy_bottom": 0.3' ;;
  mnist_split_three) figures='"accuracy_full": 0.4' ;;
  mnist_svhn) figures='"coherence_joint": 0.5' ;;
  cub_captions) figures='"correlation_joint": 0.25, "correlation_ground_truth": 0.273' ;;
esac
echo "{\"test\": {$figures}}" >"$out/summary.json"
END
chmod +x programs/mnist_split
for name in mnist_split_three mnist_svhn cub_captions; do cp programs/mnist_split "programs/$name"; done
mkdir -p data/{mnist,svhn,cub}
touch data/mnist/{train,t10k}-{images-idx3,labels-idx1}-ubyte.gz
touch data/svhn/train_32x32.mat data/cub/{text_trainvalclasses.txt,image_keys.txt}

# reproduce STATUS ARGUMENT...
reproduce() {
  local expected=$1 status=0
  shift
  bash "$script" --programs programs "$@" >printed 2>err || status=$?
  ((status == expected)) || { cat printed err; complain "$*: expected status $expected, got $status"; }
}
starts() { wc -l <starts; }
all=(--quick --data data --out out)

# --- two data sets that are not whole: the others are done, and runs are made once for all ---

reproduce 1 "${all[@]}"
has err 'fig7: Left out: data/svhn has no test_32x32.mat; they are at http://ufldl.stanford.edu/housenumbers.'
has err 'fig8: Left out: data/cub has no image_features.npy; they are made from the photographs of CUB-200-2011'
has err 'table1: done'
has err 'fig6: done'
has err '*** A quick run'
[[ $(starts) == 26 ]] || complain "expected 10 + 10 + 6 runs, got $(starts)"
[[ $(sort starts | uniq -d | wc -l) == 0 ]] || complain "a run was made twice"
has starts 'mnist_split --model svae --supervision 1 --seed 1 --out out/runs/mnist_split/svae/1/1 --epochs 5 --batch 100 --lr 2e-4 --oracle small --limit 2000 --importance-samples 0 --data data'
has starts '--data data --objective elbo-published --expert laplace --particles 1 --lr 1e-3 --batch 256'
for file in out/{table1,fig4,fig6}/{index.html,results.csv,results.md,figures/accuracy.png} out/{index.html,results.md}; do
  [[ -s $file ]] || complain "there is no $file"
done
for text in '## Table 1: MNIST-Split, all samples paired' '| svae | 0.100 | 0.200 | 0.300 |' \
  '| *paper* | 0.948 | 0.872 | 0.816 |' '| *paper* | 0.539 | 0.221 | 0.283 |' \
  '| *paper* | 0.958 | 0.863 | 0.778 |' '> A quick run' 'Left out: data/svhn has no' \
  '- SVAE and VAEVAE\* are best at very low supervision.' '![Figure 6: MNIST-Split-3 over supervision](fig6/figures/accuracy.png)'; do
  has out/results.md "$text"
done
has out/index.html '10 of 10 runs finished'
has out/index.html '<p class="missing">Left out: data/cub has no'
while read -r link; do
  [[ -e out/$link ]] || complain "index.html links to $link, which is not there"
done < <(grep -oE '(src|href)="[^"]*"' out/index.html | cut -d'"' -f2)
[[ $(grep -c '<section>' out/index.html) == 5 && $(grep -c '</section>' out/index.html) == 5 ]] ||
  complain "expected five sections"

# --- the data come; a model fails, a program refuses; the same command tries again ---

touch data/svhn/test_32x32.mat data/cub/image_features.npy
echo 'fail mvae' >how
reproduce 1 "${all[@]}"
has err 'fig7: 12 of 15 runs finished'
has err 'fig8: 12 of 15 runs finished'
has out/fig7/index.html 'error: diverged'
[[ $(starts) == 56 ]] || complain "expected 30 more runs, got $(starts)"
rm how
reproduce 0 "${all[@]}" --jobs 2
[[ $(starts) == 62 ]] || complain "expected the six that failed, got $(starts)"
has out/fig8/results.md '| *ground truth* | 0.273 | 0.273 | 0.273 |'
has starts 'mnist_svhn --model mmvae --supervision 1 --seed 1 --out out/runs/mnist_svhn/mmvae/1/1 --lr 1e-3'
has starts '--resume'
cp out/results.md whole.md
reproduce 0 "${all[@]}" --jobs 2
[[ $(starts) == 62 ]] || complain "a finished reproduction started runs"
cmp out/results.md whole.md || complain "results.md is not what it was"
reproduce 0 "${all[@]}" --only fig6
has out/results.md '## Figure 8: CUB captions over supervision'  # what is there stays on the page

reproduce 0 --data data --out own --only fig6 -- --epochs 7 --note x
has starts '--out own/runs/mnist_split_three/vaevae/0.01/1 --batch 100 --lr 2e-4 --oracle small --limit 2000 --importance-samples 0 --data data --epochs 7 --note x'
has own/index.html "about the paper. Not the paper's settings alone: every run was given --epochs 7 --note x."
reproduce 0 --data data --out own --only fig7 -- --epochs=7 --lr 1
has starts 'own/runs/mnist_svhn/mmvae/1/1 --limit 2000 --importance-samples 0 --data data --epochs=7 --lr 1 --objective dreg-looser --expert laplace --learn-prior --particles 2 --batch 128'
has starts 'own/runs/mnist_svhn/svae/1/1 --batch 256 --limit 2000 --importance-samples 0 --data data --epochs=7 --lr 1'

echo 'refuse mnist_split' >how
reproduce 1 --stand-ins --only table1,fig6 --out drawn
has err 'table1: Failed: svae, supervision 1, seed 1: <mnist_split> will not'
has drawn/index.html 'Failed: svae, supervision 1, seed 1: &lt;mnist_split&gt; will not'
has drawn/index.html 'Stand-ins: samples that the programs draw themselves.'
[[ $(grep -c 'out drawn/.*--data' starts) == 0 ]] || complain "--stand-ins: data were named"
[[ $(grep -c 'three .*out drawn/' starts) == 6 ]] || complain "one that failed stopped the others"
rm how

# --- interruption ---

rm -f starts
echo 'wait vaevae' >how
setsid bash "$script" --programs programs --only fig6,fig7 --data data --out stopped >printed 2>err &  # as from a terminal
pid=$!
for ((i = 0; i < 200; i++)); do [[ -e waiting ]] && break; sleep 0.05; done
kill -INT -- "-$pid"
status=0
wait "$pid" || status=$?
((status == 130)) || complain "an interrupted reproduction ended with $status"
has stopped/index.html 'Interrupted: the same command goes on.'
has stopped/results.md 'Not begun.'
rm how
reproduce 0 --only fig6,fig7 --data data --out stopped
[[ $(starts) == 22 ]] || complain "expected 21 runs and one that went on, got $(starts)"
! grep -q 'Interrupted' stopped/index.html || complain "a whole reproduction calls itself interrupted"

# --- the paper's settings ---

rm -f starts
reproduce 0 --full --only fig6 --data data --out full
[[ $(starts) == 54 ]] || complain "expected 2 models, 9 levels, 3 seeds; got $(starts) runs"
has starts '--model svae --supervision 0.001 --seed 3 --out full/runs/mnist_split_three/svae/0.001/3 --epochs 50 --batch 100 --lr 2e-4 --oracle resnet18 --data data'
! grep -q 'class="missing"' full/index.html || complain "--full: its page warns"

# --- wrong input: status 2, nothing made ---

# refuse TEXT ARGUMENT...
refuse() {
  local text=$1
  shift
  reproduce 2 "$@" --out x
  has err "$text"
}
refuse 'unknown option --fast' --fast
refuse "there is no experiment 'fig5'" --only table1,fig5
refuse '--jobs: expected' --jobs 0
refuse '--device: expected' --device tpu
refuse 'exclude each other' --stand-ins --data data
refuse 'there is no program nowhere/compare' --only fig6 --stand-ins --programs nowhere
[[ ! -e x ]] || complain "a refused command left a directory"

((failures == 0)) && echo "all checks passed"
((failures == 0))
