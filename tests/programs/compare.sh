#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# compare with a trainer that takes no time: the table, the page, runs that are kept, that go on and
# that fail.
# usage: compare.sh PROGRAM
set -euo pipefail

program=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
failures=0
complain() { echo "FAILED: $*"; failures=$((failures + 1)); }
has() { grep -qF -- "$2" "$1" || complain "$1 has no '$2'"; }

# well_formed PAGE: every element is closed, where python3 can tell.
well_formed() {
  command -v python3 >/dev/null || return 0
  python3 - "$1" <<'END' || complain "$1 is not well-formed"
import html.parser, sys
class Page(html.parser.HTMLParser):
    open = []
    def handle_starttag(self, tag, attributes):
        if tag not in ("meta", "img", "link"): self.open.append(tag)
    def handle_startendtag(self, tag, attributes): pass
    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, (tag, self.getpos())
page = Page()
page.feed(open(sys.argv[1], encoding="utf-8").read())
assert not page.open, page.open
END
}

# Its figures are functions of model, supervision and seed. It counts its starts, ends as ./how says
# ("fail" or "wait" for a signal, with the model and the seed that it is about), and leaves a
# checkpoint when it is interrupted.
cat >trainer <<'END'
#!/usr/bin/env bash
set -euo pipefail
resume=
while (($#)); do
  case $1 in
    --model) model=$2; shift 2 ;;
    --supervision) supervision=$2; shift 2 ;;
    --seed) seed=$2; shift 2 ;;
    --out) out=$2; shift 2 ;;
    --resume) resume=resumed; shift ;;
    *) shift ;;
  esac
done
interrupt() { mkdir -p "$out"; echo x >>"$out/signals"; sleep 0.2; touch "$out/checkpoint"; exit 130; }
trap interrupt INT
echo "begin $model $supervision $seed $resume" >>starts
how=$(cat how 2>/dev/null || true)
if [[ $how == refuse ]]; then
  echo 'error: --colour is not an option' >&2
  exit 2
fi
mkdir -p "$out"
if [[ $how == "fail $model $seed" ]]; then
  echo 'epoch 1'
  echo "error: <b>diverged</b> & gone" >&2
  exit 2
fi
if [[ $how == "wait $model $seed" ]]; then
  touch waiting
  while :; do sleep 0.05; done
fi
if [[ -n $resume && -e $out/checkpoint ]]; then touch "$out/went_on"; fi
printf 'no picture' >"$out/reconstructions.png"
awk -v m="${#model}" -v s="$supervision" -v k="$seed" 'BEGIN {
  printf "{\"version\": \"7.8.9\", \"data\": {\"title\": \"<digits>\", \"train\": 200}, \"epochs\": 1, \"chance\": {\"accuracy\": 0.1}, \"test\": {\"accuracy_all\": %.6f,", 0.05 * m + 0.3 * s + 0.01 * k * k
  printf "\"log_likelihood\": {\"particles\": 10, \"log_p(a,b)\": {\"mean\": %.6f, \"standard_error\": 0.5}},", -100 * m + 10 * s - k
  printf "\"undefined\": null}}\n"
}' >"$out/summary.json"
END
chmod +x trainer

# sweep STATUS ARGUMENT...
sweep() {
  local expected=$1 status=0
  shift
  "$program" --program "${trainer:-./trainer}" "$@" >out 2>err || status=$?
  ((status == expected)) || { cat out err; complain "$*: expected status $expected, got $status"; }
}
starts() { wc -l <starts; }
grid=(--models svae,mm --supervision 1,0.1,0.001 --seeds 1,2,4)

# --- a sweep that fails, then one that goes on ---

echo 'fail mm 2' >how
sweep 1 "${grid[@]}" --out results -- --note '<i>"x"</i>'
has out 'mm, supervision 0.1, seed 2: FAILED, exit status 2: error: <b>diverged</b> & gone'
has results/index.html '15 of 18 runs finished, 3 failed'
has results/index.html '&lt;b&gt;diverged&lt;/b&gt; &amp; gone'
has results/runs.csv 'mm,0.1,2,failed,,,,'
[[ $(starts) == 18 ]] || complain "expected 18 starts, got $(starts)"
[[ $(grep -c '^\[' out) == 18 ]] || complain "expected one line of progress for each run"
grep -qE '^\[1/18\] svae, supervision 1, seed 1: 0 s; about [0-9]+ s left$' out || complain "no estimate of the time left"

rm how
sweep 0 "${grid[@]}" --out results -- --note '<i>"x"</i>'
[[ $(starts) == 21 ]] || complain "finished runs were repeated: $(starts) starts"
cp results/results.csv results/index.html .
rm results/results.csv results/figures/accuracy.png
sweep 0 "${grid[@]}" --out results -- --note '<i>"x"</i>'
[[ $(starts) == 21 ]] || complain "a finished sweep started runs"
cmp results.csv results/results.csv || complain "results.csv is not what it was"
cmp index.html results/index.html || complain "index.html is not what it was"

# --- the numbers, computed once more ---

awk 'BEGIN {
  print "model,supervision,metric,seeds,mean,sd"
  split("1 2 4", seed); split("svae mm", model); split("0.001 0.1 1", level)
  for (m = 1; m <= 2; m++) for (l = 1; l <= 3; l++) for (f = 1; f <= 4; f++) {
    sum = squares = 0
    for (k = 1; k <= 3; k++) {
      n = length(model[m]); s = level[l]
      v = f == 1 ? 0.05 * n + 0.3 * s + 0.01 * seed[k] ^ 2 : f == 2 ? 10 : f == 3 ? -100 * n + 10 * s - seed[k] : 0.5
      sum += v; squares += v * v
    }
    variance = (squares - sum * sum / 3) / 2
    name = f == 1 ? "accuracy_all" : f == 2 ? "log_likelihood.particles" : f == 3 ? "\"log_likelihood.log_p(a;b).mean\"" : "\"log_likelihood.log_p(a;b).standard_error\""
    printf "%s,%s,%s,3,%.5f,%.5f\n", model[m], level[l], name, sum / 3, sqrt(variance > 1e-9 ? variance : 0)
  }
}' >expected
sed 's/(a,b)/(a;b)/' results/results.csv |
  awk -F, 'NR == 1 { print; next } { printf "%s,%s,%s,%s,%.5f,%.5f\n", $1, $2, $3, $4, $5, $6 }' >rounded
diff expected rounded || complain "results.csv has other numbers"
has results/runs.csv 'svae,0.1,4,finished,0.39,10,-403,0.5'

# --- files that people see ---

has results/index.html 'with 3 seeds: 200 training samples, 1 epoch.</p>'
grep -q dasharray results/figures/accuracy.svg || complain "no line at what chance reaches"
! grep -q dasharray results/figures/log_likelihood.svg || complain "a line at a chance that no run knows"

for name in accuracy log_likelihood; do
  head -c 8 "results/figures/$name.png" | cmp -s - <(printf '\x89PNG\r\n\x1a\n') || complain "$name.png is no PNG"
  grep -qa IEND <(tail -c 12 "results/figures/$name.png") || complain "$name.png is not whole"
  grep -q '<svg' <(head -c 200 "results/figures/$name.svg") || complain "$name.svg is no SVG"
  [[ $(tail -n 1 "results/figures/$name.svg") == '</svg>' ]] || complain "$name.svg is not whole"
done
has results/index.html '>svae</th>'
has results/index.html '>mm</th>'
has results/index.html '&lt;digits&gt;'
has results/index.html '<strong>0.300 <span class="sd">± 0.079</span>'
has results/index.html "'&lt;i&gt;&quot;x&quot;&lt;/i&gt;'"
has results/index.html 'version 7.8.9'
[[ $(grep -c 'alt="Reconstructions of' results/index.html) == 2 ]] || complain "expected one picture of each model"
! grep -q 'Incomplete' results/index.html || complain "a whole comparison calls itself incomplete"
! grep -qE '(src|href)="(https?:|/|\.)' results/index.html || complain "index.html needs other files"
[[ -z $(grep -o ' id="[^"]*"' results/index.html | sort | uniq -d) ]] || complain "index.html: two elements have one id"
well_formed results/index.html

sweep 0 --models svae,mm --supervision 0.5 --seeds 3 --out level  # dots instead of lines, no deviation
has level/results.csv 'svae,0.5,accuracy_all,1,0.44,'
has level/results.md '| model | all |'
has level/results.md '| svae | **0.440** |'
grep -q 'accuracy_all,1,[0-9.]*,$' level/results.csv || complain "one seed has a deviation"

# --- what belongs to no model, pages and pictures of any name, published figures, shared runs ---

cat >captions <<'END'
#!/usr/bin/env bash
while (($#)); do
  case $1 in
    --out) out=$2; shift 2 ;;
    --model) model=$2; shift 2 ;;
    *) shift ;;
  esac
done
mkdir -p "$out"
echo "$out" >>starts
printf 'no picture' >"$out/prior_samples.png"
printf '<!doctype html>\n<p class="made">%s: a <b>red</b> bird &amp; a nest</p>\n' "$model" >"$out/pairs of 8.html"
echo "{\"test\": {\"correlation_joint\": -0.0${#model}, \"correlation_joint_se\": 0.012,
  \"correlation_joint_shuffled\": 0.1${#model}, \"correlation_image_to_caption\": 0.125,
  \"correlation_ground_truth\": 0.273, \"correlation_ground_truth_se\": 0.019,
  \"correlation_shuffled\": 0.002}}" >"$out/summary.json"
END
chmod +x captions
cat >published.json <<'END'
{"title": "table_1", "figures": {"svae": {"0.1": {"correlation_joint": 0.263}, "1": {"accuracy": 1}},
                                 "another": {"1": {"correlation_joint": 0.5}}}}
END
rm -f starts
captions=(--models svae,mm --seeds 1 --runs shared --against published.json --title 'A & B')
trainer=./captions sweep 0 "${captions[@]}" --supervision 0.1,1 --out several
[[ $(starts) == 4 ]] || complain "expected 4 starts, got $(starts)"
cat >expected <<'END'
**correlation, joint**

| model | 10 % | 100 % |
| --- | ---: | ---: |
| svae | −0.040 | −0.040 |
| *table\_1* | 0.263 |  |
| mm | **−0.020** | **−0.020** |
| *ground truth* | 0.273 | 0.273 |
| *shuffled* | 0.002 | 0.002 |

**correlation, joint shuffled**

| model | 10 % | 100 % |
| --- | ---: | ---: |
| svae | **0.140** | **0.140** |
| mm | 0.120 | 0.120 |
| *ground truth* | 0.273 | 0.273 |
| *shuffled* | 0.002 | 0.002 |
END
head -n 18 several/results.md | diff expected - || complain "results.md is not as expected"
! grep -q 'correlation, shuffled' several/results.md || complain "a reference has a table of its own"
has several/results.csv 'svae,0.1,correlation_ground_truth,1,0.273,'
has several/results.csv 'svae,0.1,correlation_joint_se,1,0.012,'
! grep -q ' se\b' several/results.md || complain "an error has a table of its own"
! grep -qE '(joint|ground truth) se' several/figures/correlation.svg several/index.html || complain "an error is drawn"
! grep -q '<th>correlation_joint_se</th>' several/index.html || complain "an error is a figure of the runs"
has several/index.html '<h1>A &amp; B</h1>'
has several/index.html '<tr class="others"><th scope="row">table_1</th><td>0.263</td><td></td></tr>'
has several/index.html 'alt="Prior samples of svae"'
has several/index.html '<iframe title="Pairs of 8 of svae" sandbox'
for model in svae mm; do  # each page is within the page, whole and as text
  has several/index.html "&lt;p class=&quot;made&quot;&gt;$model: a &lt;b&gt;red&lt;/b&gt; bird &amp;amp; a nest&lt;/p&gt;"
done
[[ $(grep -c '<iframe' several/index.html) == 2 ]] || complain "expected one page of each model"
well_formed several/index.html
has several/index.html '<a href="../shared/svae/0.1/1/pairs%20of%208.html">Pairs of 8</a>'
trainer=./captions sweep 0 "${captions[@]}" --supervision 1 --out single -- --threads 3
[[ $(starts) == 4 ]] || complain "a shared run was made twice"
has single/results.md '| mm | **−0.020** | 0.120 | 0.125 |'
! grep -q table_1 single/results.md || complain "what was published of another level is shown"
[[ ! -e single/svae ]] || complain "--runs: a run lies in --out"

# --- interruption ---

rm -f starts waiting
echo 'wait mm 2' >how
setsid "$program" --program ./trainer "${grid[@]}" --jobs 2 --out stopped >out 2>err &  # as from a terminal
pid=$!
for ((i = 0; i < 200; i++)); do [[ -e waiting ]] && break; sleep 0.05; done
sweep 2 "${grid[@]}" --out stopped
has err 'at work there'
kill -INT -- "-$pid"
status=0
wait "$pid" || status=$?
((status == 130)) || complain "an interrupted sweep ended with $status"
has out 'the same command goes on'
has stopped/index.html 'Incomplete'
checkpoints=$(find stopped -name checkpoint | wc -l)
((checkpoints >= 1)) || complain "an interrupted run left no checkpoint"
[[ $(find stopped -name signals -exec cat {} + | wc -l) == "$checkpoints" ]] || complain "a run heard more than one signal"
[[ $(head -n 2 starts | grep -c .) == 2 ]] || complain "the interrupted sweep began no runs"
rm how
sweep 0 "${grid[@]}" --jobs 3 --out stopped
[[ $(find stopped -name went_on | wc -l) == "$checkpoints" ]] || complain "an interrupted run did not go on"
[[ $(sort starts | uniq -c | awk '$1 > 1' | wc -l) == 0 ]] || complain "a run was made twice: $(sort starts | uniq -d)"
cmp results/results.csv stopped/results.csv || complain "an interrupted sweep has other results"

# --- several at a time: the first goes alone ---

rm -f starts waiting
echo 'wait svae 1' >how
"$program" --program ./trainer "${grid[@]}" --jobs 4 --out alone >out 2>err &
pid=$!
for ((i = 0; i < 200; i++)); do [[ -e waiting ]] && break; sleep 0.05; done
sleep 0.2
[[ $(starts) == 1 ]] || complain "the first run does not go alone"
kill -INT "$pid"
wait "$pid" || true
rm how

# --- options of one model: a second name for it, and a record of its own ---

rm -f starts
sweep 0 --models svae,mine --supervision 1 --seeds 1 --for 'mine=--model mvae --note 1' --out named
has starts 'begin svae 1 1'
has starts 'begin mvae 1 1'
has named/mine/1/1.options '--model mvae --note 1'
[[ $(cat named/svae/1/1.options) == trainer ]] || complain "svae was given the options of another"
has named/results.csv 'mine,1,accuracy_all'
has out '2 runs: 0 finished'
sweep 0 --models svae,mine --supervision 1 --seeds 1 --for 'mine=--model mvae --note 1' --out both -- --note 2 3 --quick --note=4
[[ $(cat both/svae/1/1.options) == 'trainer --note 2 3 --quick --note=4' ]] || complain "svae: $(cat both/svae/1/1.options)"
[[ $(cat both/mine/1/1.options) == 'trainer --quick --model mvae --note 1' ]] || complain "mine: $(cat both/mine/1/1.options)"

# --- a first run that is refused ends the sweep; one that has begun does not ---

rm -f starts
echo refuse >how
sweep 2 "${grid[@]}" --out refused
[[ $(cat err) == 'error: svae, supervision 1, seed 1: --colour is not an option' ]] || complain "a refused run: $(cat err)"
[[ $(starts) == 1 ]] || complain "a sweep went on after its first run was refused"
echo 'fail svae 1' >how
sweep 1 --models svae,mm --supervision 1 --seeds 1 --out refused
has out 'missing: 1 of 2 runs'
rm how
sweep 0 --models svae --supervision 1 --seeds 1 --out refused
has out '1 run: 0 finished, 1 to go on'

# --- wrong input: one sentence, status 2, nothing run ---

# refuse TEXT ARGUMENT...
refuse() {
  local text=$1
  shift
  sweep 2 "$@"
  [[ $(wc -l <err) == 1 ]] || complain "$*: expected one line, got: $(cat err)"
  has err "$text"
}
rm -f starts
echo '{"title": "x", "figures": {"svae": {"all": {"accuracy": 1}}}}' >wrong.json
refuse "'wrong.json': expected {\"title\": TEXT" --against wrong.json --out x
refuse "nothing.json" --against nothing.json --out x
refuse "made by 'trainer --note" "${grid[@]}" --out results -- --note other
refuse '--model stands after --' --out x -- --model mm
refuse '--out stands after --' --out x -- --out=y
refuse '--seed stands in --for' --for 'svae=--seed 3' --out x
refuse "expected MODEL=OPTIONS" --for svae --out x
refuse '--for mvae: it is not among --models' --for 'mvae=--lr 1' --out x
refuse '(0, 1]' --supervision 1,0 --out x
refuse '(0, 1]' --supervision 1,nan --out x
refuse "got '../up'" --models ../up --out x
refuse 'svae is there twice' --models svae,svae --out x
refuse '--seeds' --seeds 1,two --out x
refuse '--seeds: expected no negative number, got -1' --seeds 1,-1 --out x
refuse '--jobs' --jobs 0 --out x
refuse 'not expected: --colour red (options of the runs stand after --; --help' --colour red --out x
refuse '--supervision: expected shares in (0, 1], got 10; 10 % is 0.1' --supervision 10 --out x
trainer=trainer_beside refuse "'trainer_beside' cannot be run: No such file" --out x
trainer=./nothing refuse "'./nothing' cannot be run: No such file" --out x
mkdir -p mine/svae/1/1
refuse 'compare did not make' "${grid[@]}" --out mine
echo '{"test": 3}' >results/svae/1/1/summary.json
refuse 'results/svae/1/1/summary.json' "${grid[@]}" --out results -- --note '<i>"x"</i>'
[[ ! -e starts ]] || complain "a refused sweep started runs"
[[ ! -e x ]] || complain "a refused sweep left a directory"

# --- a trainer by its name: on PATH, or beside compare ---

mkdir beside on_path
cp "$program" beside/compare
cp trainer beside/trainer_beside
cp trainer on_path/trainer_on_path
for name in trainer_beside trainer_on_path; do
  PATH=$PATH:$work/on_path beside/compare --program "$name" --models svae --supervision 1 --seeds 1 --out "by_$name" >out 2>err ||
    complain "--program $name: $(cat err)"
  grep -q '^svae,1,accuracy_all,1,' "by_$name/results.csv" || complain "--program $name: no results"
done

((failures == 0)) && echo "all checks passed"
((failures == 0))
