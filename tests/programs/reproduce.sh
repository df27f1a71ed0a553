#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# scripts/reproduce with trainers that take no time: data that are missing, runs that are shared, that
# fail and that go on, what is written about all of them, and the paper's settings. At last one
# experiment as it is.
# usage: reproduce.sh SCRIPT PROGRAMS CACHE
# PROGRAMS has compare and the trainers, in CACHE oracles are kept.
set -euo pipefail

script=$(realpath "$1") real=$(realpath "$2")
mkdir -p "$3"
cache=$(realpath "$3")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
unset POE_DATA
failures=0
complain() { echo "FAILED: $*"; failures=$((failures + 1)); }
has() { grep -qF -- "$2" "$1" || complain "$1 has no '$2'"; }

# One trainer under the names of four. ./how says what becomes of a program or of a model. What it is
# given must be right: the real program, which refuses wrong options first, then finds no data.
mkdir programs checked
ln -s "$real/compare" programs/compare
export real
cat >programs/mnist_split <<'END'
#!/usr/bin/env bash
set -euo pipefail
program=${0##*/}
words="$*" given=()
while (($#)); do
  case $1 in
    --model) model=$2 given+=("$1" "$2"); shift 2 ;;
    --out) out=$2; shift 2 ;;
    --data) shift 2 ;;
    *) given+=("$1"); shift ;;
  esac
done
trap 'exit 130' INT
echo "$program $words" >>starts
known=checked/$(sed -E 's/ --(supervision|seed) [^ ]*//g' <<<"$program ${given[*]}")  # once is enough
if [[ -x $real/$program && ! -e $known ]]; then
  answer=$("$real/$program" "${given[@]}" --data nowhere --out checked/out 2>&1) || true
  if ! grep -Eq '^error: (MNIST: no file|CUB: no captions)' <<<"$answer"; then
    echo "$answer" >&2
    exit 2
  fi
  touch "$known"
fi
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
has err 'fig7: Left out: data/svhn has no test_32x32.mat; scripts/get-data svhn gets them.'
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

reproduce 0 --data data --out own --only fig6 -- --epochs 7 --warm-up 1
has starts '--out own/runs/mnist_split_three/vaevae/0.01/1 --batch 100 --lr 2e-4 --oracle small --limit 2000 --importance-samples 0 --data data --epochs 7 --warm-up 1'
has own/index.html "about the paper. Not the paper's settings alone: every run was given --epochs 7 --warm-up 1."
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

# A trainer refuses what it does not know, and so does the one of these tests.
reproduce 1 --stand-ins --only fig6 --out misspelt -- --epocs 7
has err 'error: svae, supervision 1, seed 1: not expected: --epocs 7 '
reproduce 1 --stand-ins --only fig6 --out misspelt -- --batch few
has misspelt/index.html '--batch: Value few not in range'

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
reproduce 0 --full --only table1,fig6,fig7,fig8 --data data --out full --jobs 2
! grep -q 'class="missing"' full/index.html || complain "--full: its page warns"
[[ $(starts) == 354 ]] || complain "expected 30 runs of table 1, 54, 135 and 135 of figures; got $(starts)"
# values PROGRAM OPTION: what its runs were given
values() { grep "^$1 " starts | grep -o -- "--$2 [^ ]*" | cut -d' ' -f2 | sort -gru | paste -sd' '; }
for program in mnist_split_three mnist_svhn cub_captions; do
  [[ $(values $program supervision) == '1 0.5 0.1 0.05 0.02 0.01 0.005 0.002 0.001' ]] ||
    complain "$program has the levels $(values $program supervision)"
  [[ $(values $program seed) == '3 2 1' ]] || complain "$program has the seeds $(values $program seed)"
done
[[ $(values mnist_split supervision) == 1 ]] || complain 'table 1 has other levels than 1'
! grep -Eq -- '--(limit|importance-samples)|--oracle small' starts || complain '--full has settings of --quick'
# settings PROGRAM MODEL OPTION...: the runs of a model have these options
settings() {
  local program=$1 model=$2 option
  shift 2
  grep "^$program --model $model .*--out full/runs/$program/$model/" starts >of_model || complain "no runs of $program $model"
  for option; do
    ! grep -vqF -- " $option " <(sed 's/$/ /' of_model) || complain "$program $model was trained without $option: $(head -n 1 of_model)"
  done
}
split=('--batch 100' '--lr 2e-4' '--oracle resnet18' '--oracle-training published')
for model in svae svae-star vaevae vaevae-star vaevae-a mvae jmvae bridge; do
  settings mnist_split $model '--epochs 200' "${split[@]}"
done
settings mnist_split mmvae '--networks mmvae-published' --amsgrad '--select last' '--epochs 200' '--objective elbo-published' '--expert laplace' '--lr 1e-3' '--batch 256'
for model in svae vaevae; do settings mnist_split_three $model '--epochs 50' "${split[@]}"; done
settings mnist_svhn svae '--epochs 50' '--batch 256' '--lr 1e-4' '--select coherence_joint' '--oracle-training published'
for model in vaevae vaevae-star; do settings mnist_svhn $model '--epochs 50' '--batch 256' '--lr 1e-3'; done
settings mnist_svhn mmvae '--lambda 3.918,1' '--likelihood laplace' --amsgrad '--select last' '--epochs 30' '--batch 128' '--lr 1e-3' '--objective dreg-looser' '--expert laplace' --learn-prior '--particles 30'
for model in svae vaevae vaevae-star; do settings cub_captions $model '--epochs 200' '--batch 100' '--lr 1e-4' '--select correlation_joint'; done
settings cub_captions mmvae --amsgrad '--select last' '--epochs 50' '--batch 64' '--lr 1e-3' '--objective dreg-looser' --learn-prior '--particles 50'

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
refuse '--preset: expected' --preset other
refuse 'exclude each other' --stand-ins --data data
refuse 'there is no program nowhere/compare' --only fig6 --stand-ins --programs nowhere
[[ ! -e x ]] || complain "a refused command left a directory"

# --- as it is ---

bash "$script" --programs "$real" --stand-ins --only fig6 --out real -- --oracle-cache "$cache" --epochs 1 --limit 120 >printed 2>err ||
  complain "a real reproduction failed: $(cat printed err)"
has real/index.html '6 of 6 runs finished'
for file in real/fig6/{index.html,results.csv,figures/accuracy.png} real/runs/mnist_split_three/{svae,vaevae}/{1,0.1,0.01}/1/summary.json; do
  [[ -s $file ]] || complain "a real reproduction left no $file"
done
grep -q '"epochs": 1,' real/runs/mnist_split_three/svae/0.1/1/config.json || complain 'the options did not reach the trainer'

((failures == 0)) && echo "all checks passed"
((failures == 0))
